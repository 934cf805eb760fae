"""Rules about what is deployed, and faults that each has to find: so none is there that cannot fail. Used by kubernetes.py and systemd.py."""

import copy


class Book:
    """Rules, and for each at least one way to break what it looks at."""

    def __init__(self):
        self.rules, self.faults = [], []

    def rule(self, check):
        """A rule: its name is what it says. It raises when that is not so."""
        self.rules.append(check)
        return check

    def fault(self, of):
        """A way to make something wrong that this rule has to find."""

        def add(spoil):
            self.faults.append((of, spoil))
            return spoil

        return add

    def judge(self, name, it, what):
        """Holds the rules against `it`, then against copies of it with one fault each. Says what came of it, or exits."""
        broken = {rule.__name__: why for rule in self.rules if (why := breach(rule, it))}
        for rule, why in broken.items():
            print(f"{name}: NOT TRUE: {rule.replace('_', ' ')}: {why}")
        if broken:
            raise SystemExit(1)
        print(f"{name}: {what}; {len(self.rules)} rules hold")
        by_name = {rule.__name__: rule for rule in self.rules}
        untried = by_name.keys() - {of for of, _ in self.faults}
        assert not untried, f"no fault is made for {untried}"
        for of, spoil in self.faults:
            wrong = copy.deepcopy(it)
            spoil(wrong)
            assert vars(wrong) != vars(it), f"{spoil.__name__} changes nothing"
            assert breach(by_name[of], wrong), f"{of} does not notice {spoil.__name__}"
        print(f"{name}: {len(self.faults)} faults made on purpose, each is noticed by its rule")


def breach(rule, it):
    """Why a rule does not hold; nothing if it does."""
    try:
        rule(it)
    except Exception as why:  # whatever a rule meets in what is wrong is a finding
        return (str(why) or repr(why)).splitlines()[0]
    return None
