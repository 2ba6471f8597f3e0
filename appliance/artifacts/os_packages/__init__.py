"""OS packages, resolved by apt and carried as an apt repository."""
