"""What memory the control groups of a process leave."""

from polytask.runs.memory import _left, _limited_groups


def test_every_limited_group_above_the_process_counts_and_file_caches_do_not(tmp_path):
    inner = tmp_path / "groups" / "outer" / "inner"
    inner.mkdir(parents=True)
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/first/version\n0::/outer/inner\n")
    for group, limit in ((inner, "max"), (inner.parent, "1000")):
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text("700\n")
        (group / "memory.stat").write_text("anon 400\ninactive_file 300\n")
    assert list(_limited_groups(membership, tmp_path / "groups")) == [inner.parent]
    assert _left(inner.parent) == 600
    (inner.parent / "memory.current").write_text("2000\n")
    assert _left(inner.parent) == 0


def test_a_machine_without_such_groups_has_no_limits(tmp_path):
    membership = tmp_path / "cgroup"
    assert list(_limited_groups(membership, tmp_path)) == []
    membership.write_text("4:memory:/first/version\n")
    assert list(_limited_groups(membership, tmp_path)) == []
