"""The vectorised model's kernel: control intervals of a batch of migrations, exactly from event to event.

``intervals`` runs a block of migrations piece by piece: ``plan`` says how long the next piece of each is, ``writes``
what their vCPUs do in it, ``pieces`` books it, ``rounds`` and ``ends`` end what is over, ``charges`` adds up the cost.
What few migrations have stands beside it: ``links`` that change, random and recorded ``schedules``, ``sleeping`` vCPUs,
a ``survey``.
"""
