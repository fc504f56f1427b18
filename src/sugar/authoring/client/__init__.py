"""Asking models for knowledge: what is asked (`request`), whom (`providers`), and how thousands are asked well."""
