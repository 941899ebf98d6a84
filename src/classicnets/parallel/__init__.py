"""Training of one run by several processes: how a network and its batches are divided over them.

Importing it raises MachineError CN407 if this torch cannot do it: its modules import parts of torch.distributed.
"""

from classicnets.parallel.place import check_torch

check_torch()
