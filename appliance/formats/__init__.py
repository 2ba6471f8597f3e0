"""Other people's formats, read strictly: images, Debian packages, wheels, safetensors, OpenPGP, package indexes."""
