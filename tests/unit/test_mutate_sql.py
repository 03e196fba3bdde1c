from tools.mutate_sql import FUNCTIONS, mutants_of


def test_every_change_is_one_line_of_a_body() -> None:
    for name in ("finish", "admit", "decide"):
        lines = (FUNCTIONS / f"{name}.sql").read_text().splitlines()
        changes = list(mutants_of(name, "\n".join(lines)))
        assert len(changes) > 20
        for change in changes:
            changed = change.text().splitlines()
            different = [number for number, line in enumerate(lines, 1) if line != changed[number - 1]]
            assert different == [change.line]
