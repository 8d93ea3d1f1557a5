"""What a virtual machine monitor can measure and carry out, and the encoder that makes an observation of it."""
