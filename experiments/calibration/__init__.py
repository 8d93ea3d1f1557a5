"""The model against measurements: the tables of the cover letter and recorded QEMU migrations."""
