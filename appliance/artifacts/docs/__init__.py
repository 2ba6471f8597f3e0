"""The kind ``docs``: pages that people read behind the gap."""
