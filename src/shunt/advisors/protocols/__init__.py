"""One file a protocol; `registry.py` knows them by name. Begin with `smtp.py`, then `http.py`."""
