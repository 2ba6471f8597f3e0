"""One file per outside program or service.  Only ``run`` starts processes."""
