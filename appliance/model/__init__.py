"""What we write and read: frozen types and pure functions over them.  Nothing here opens a file or a socket.

Documents lie in ``documents``, how models are served in ``serving``, and beside them what both are made of.
"""
