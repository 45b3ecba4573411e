"""What `verify` finds in a test's database."""

from payment_server.store.audit import Finding, audit


async def differences_in(url: str) -> dict[str, list[str]]:
    """The checks that are contradicted, and by what; empty where everything adds up."""
    findings: list[Finding] = []
    await audit(url, findings.append)
    failed = [(each.check.name, each.failed) for each in findings if each.failed]
    assert not failed, failed
    return {each.check.name: [one.what for one in each.shown] for each in findings if each.total}
