"""Real migrations of real virtual machines on Linux KVM, in plain Python: no compiled code, no guest image.

From the bottom up: ``api`` (ioctls), ``guest`` (the code that the guest runs), ``ring`` and ``vm`` (a virtual machine
with a dirty ring for each vCPU), ``traces`` (which pages a workload touches), ``throttling`` (who must wait), ``vcpu``
and ``machine`` (threads that run the guest), ``frames``, ``sender`` and ``destination`` (pre-copy over TCP), ``source``
(the process that all of it lives in) and ``backend`` (the interface that the rest of dqgym knows).
"""
