"""Real migrations of real virtual machines on Linux KVM, in plain Python: no compiled code, no guest image.

From the bottom up: ``workload`` (which pages the guest touches, and when), ``machine`` (ioctls, the guest's code, its
vCPUs' threads, throttling, and the log of dirty pages), ``feasibility`` (the scenarios that fit), ``migration``
(pre-copy over TCP: the processes of source and destination, and the proof), ``host`` (the probe of this host, and its
costs) and ``backend`` (the interface that the rest of dqgym knows).
"""
