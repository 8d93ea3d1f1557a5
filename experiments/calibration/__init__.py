"""How well the model describes what was measured: the tables of the cover letter and recorded QEMU migrations."""
