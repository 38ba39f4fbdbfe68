#!/usr/bin/env python3
"""Writes docs/metrics.md from where the metrics are made: <part>/src/**/metrics.rs. `--check` fails on a difference.

Names and sentences are constants there (libs/runtime/src/metrics.rs refuses others), so they can be read as text, without
building three binaries.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = [
    ("operator", "app.kubernetes.io/name: sallyport-operator", "Service RELEASE-admin"),
    ("gateway", "app.kubernetes.io/name: sallyport-gateway", "Service REGION-gateways"),
    ("agent", "", "agent.yaml: admin"),
]
MADE = re.compile(r'(\w+)\(\s*"(sallyport_\w+)",\s*"((?:[^"\\]|\\.)*)",?\s*(&\[[^\]]*\]|"[a-z_]+")?', re.S)
WORDS = {
    # Ratios and alerts that a person would otherwise have to find out.
    "sallyport_audit_health": "`{health!=\"open\"} > 0`: no session opens on this gateway; the region's condition and the gateway's log say why",
    "sallyport_audit_not_archived_records": "rises for an hour: the operator does not collect; the region's condition says why",
    "sallyport_audit_volume_used_percent": "`>= 80`: make the volume larger, or see why nothing is archived; when it is full no session opens",
    "sallyport_gateway_cloned_endpoints_total": "`increase(...[1h]) > 0`: two agents hold one certificate; look at once",
    "sallyport_gateway_configurations_refused_total": "`increase(...[10m]) > 0`: gateway and operator disagree; the region's condition says why",
    "sallyport_gateway_certificate_not_after_seconds": "`... - time() < 4 * 3600`: they live 24 h and are renewed at 16 h, so renewal fails",
    "sallyport_gateway_renewal_proofs_refused_total": "`increase(...[1h]) > 0`: an agent proves a certificate that is not its own or is revoked; the log says which",
    "sallyport_gateway_holds_ended_untold_total": "`increase(...[10m]) > 0`: no operator reached this gateway after its start; it may let in who was revoked meanwhile",
    "sallyport_gateway_revocation_lists": "`{state!=\"current\"} > 0`: an authority lets nobody in or soon will not; the gateway's log says which",
    "sallyport_gateway_trust_refused_total": "`increase(...[10m]) > 0`: revocations do not reach this gateway; the region's condition says why",
    "sallyport_revocation_list_next_update_seconds": "`... - time()` below a third of the list's lifetime: it is signed anew after a third, so the operator does not reach this gateway; at 0 the doors close",
    "sallyport_operator_leader": "`sum(...) < 1` for 1 min: nobody works",
    "sallyport_operator_watch_errors_total": "`rate(...[5m]) > 0.1`: the API server or a right is missing",
    "sallyport_audit_evidence_total": "`increase(...[1h]) > 0`: a log was forked, rolled back or forged, or two gateways have one key; the region's condition AuditIntact says which",
    "sallyport_audit_archive_failures_total": "`increase(...[10m]) > 0`: records stay on the gateways' volumes; the region's condition AuditArchived says why",
    "sallyport_audit_behind_records": "`> 0` for 15 min: records are not collected; the operator's log says why",
    "sallyport_agent_certificate_not_after_seconds": "`... - time() < 20 * 86400`: they live 90 days and are renewed at 60, so renewal fails; `sallyport-agent check` says why",
    "sallyport_agent_tunnels": "`< 1` for 1 min: the site is cut off; `sallyport-agent check` says why",
    "sallyport_operator_writes_total": "`rate(...[10m]) > 0` with nobody at work: somebody fights the operator",
}


def page():
    text = [
        "<!-- Generated from */src/metrics.rs by `make metrics`. Do not edit. -->",
        "# Metrics",
        "",
        "Every process serves `/metrics`, `/healthz` and `/readyz` on its admin port, 9464, besides Prometheus' own `process_*`.",
        "Labels come from closed sets only: no name of a site, device or person is one.",
    ]
    for part, selector, where in PARTS:
        text += ["", f"## {part}", "", f"Port `admin` of {where}" + (f", pods `{selector}`." if selector else "."), ""]
        text += ["| metric | type | labels | what it is | look when |", "|---|---|---|---|---|"]
        source = "\n".join(path.read_text() for path in sorted((ROOT / part / "src").rglob("metrics.rs")))
        count = 0
        for maker, name, what, labels in sorted(MADE.findall(source), key=lambda made: made[1]):
            kind = next((k for k in ("counter", "gauge", "histogram") if maker.startswith(k)), None)
            if kind is None:
                sys.exit(f"error: {part}/src/metrics.rs: {name} is made by {maker}, which this script does not know")
            labels = ", ".join(f"`{label}`" for label in re.findall(r'"(\w+)"', labels or "")) or "-"
            what = re.sub(r"\\\s*", "", what).replace("|", "\\|")
            text.append(f"| `{name}` | {kind} | {labels} | {what} | {WORDS.get(name, '')} |")
            count += 1
        named = len(set(re.findall(r'"(sallyport_\w+)"', source)))
        if count != named:
            sys.exit(f"error: {part}/src/metrics.rs: {named} metrics are named and {count} understood")
    unknown = set(WORDS) - set(re.findall(r"sallyport_\w+", "\n".join(line.split("|")[1] for line in text if line.startswith("| `"))))
    if unknown:
        sys.exit(f"error: make/metrics.py speaks of metrics that do not exist: {', '.join(sorted(unknown))}")
    return "\n".join(text) + "\n"


def main():
    path = ROOT / "docs/metrics.md"
    if sys.argv[1:] == ["--check"]:
        if not path.exists() or path.read_text() != page():
            sys.exit("error: docs/metrics.md is not what the code says; make metrics")
    elif not sys.argv[1:]:
        path.write_text(page())
    else:
        sys.exit("usage: metrics.py [--check]")


main()
