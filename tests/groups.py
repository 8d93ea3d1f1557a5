"""Which tests one process runs where several share the work: those of a file, and those of a group below.

Tests of one file often share what took long to make. Processes take up groups and files in the order of the list, then
all other files: what takes longest has to begin early, or one process ends long after the others.
"""

GROUPS = {
    "kvm": (
        "tests/backends/kvm",
        "tests/experiments/commands/migration/test_migrate.py",
        "tests/experiments/test_matrix.py",
    ),
    "documents": ("tests/docs/test_documents.py",),
    "model": ("tests/model/test_kernel_against_reference.py",),
    "plain Python": ("tests/jit/test_plain_python.py",),
}
"""Files and folders that one process runs. Migrations of this host's KVM have deadlines: one at a time."""


def group_of(path: str) -> str:
    """The name of the group, which is the file's own path where it belongs to none of them.

    Args:
        path: of the test's file, from the root of the checkout.
    """
    return next((name for name, members in GROUPS.items() if path.startswith(members)), path)


def place_of(path: str) -> int:
    """When a file's turn comes: the groups as they are listed, then everything else."""
    names = [*GROUPS, group_of(path)]
    return names.index(group_of(path))
