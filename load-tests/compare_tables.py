"""The medians of compare.py as text, as markdown and as one page that links the plots."""
import html
import os
import subprocess


def text(row, cells):
    lines = ["", row.text, "  %-11s" % "" + "".join("%22s" % head for head in row.heads())]
    for server, cell in cells.items():
        columns = row.columns(cell) if cell else ["fails"]
        lines.append("  %-11s" % server + "".join("%22s" % column for column in columns))
        if cell and cell.get("bottleneck"):
            lines[-1] += "  (imflood was the bottleneck)"
    lines += ["  %-34s %s" % (verdict.text, verdict) for verdict in row.verdicts(cells)]
    return "\n".join(lines)


def summary(row, cells):
    """Of one row for one line: what each server reached, and each budget."""
    said = []
    for server, cell in cells.items():
        heads = row.heads()
        shown = ["%s %s" % (column, head) for column, head in zip(row.columns(cell), heads)][:3] if cell else ["fails"]
        said.append((server, ", ".join(shown)))
    return said, ["%s: %s" % (verdict.text, verdict) for verdict in row.verdicts(cells)]


def markdown(rows, medians, head):
    lines = [head, "", "| work | measured | budget |", "|---|---|---|"]
    for row in rows:
        servers, budgets = summary(row, medians[row.name])
        measured = "; ".join("%s %s" % item for item in servers)
        lines.append("| %s | %s | %s |" % (row.text, measured, "; ".join(budgets)))
    return "\n".join(lines) + "\n"


STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 .8rem;color:#111}
td,th{padding:.3rem .5rem;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}table{border-collapse:collapse}
.MISSED{color:#a00000;font-weight:600}.wide{overflow-x:auto}"""


def page(rows, medians, head, plots):
    """plots: of the rows that have some, the name of their page."""
    lines = ['<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width, initial-scale=1"><title>compare</title>',
             "<style>%s</style></head><body><h1>compare</h1><p>%s</p>" % (STYLE, html.escape(head)),
             '<div class="wide"><table><tr><th>work</th><th>measured</th><th>budget</th></tr>']
    for row in rows:
        servers, _ = summary(row, medians[row.name])
        name = html.escape(row.text)
        if row.name in plots:
            name = '<a href="%s">%s</a>' % (html.escape(plots[row.name]), name)
        measured = "<br>".join("<b>%s</b> %s" % (server, html.escape(said)) for server, said in servers)
        budgets = "<br>".join('<span class="%s">%s: %s</span>' % (str(verdict).split()[0], html.escape(verdict.text), verdict)
                              for verdict in row.verdicts(medians[row.name]))
        lines.append("<tr><td>%s</td><td>%s</td><td>%s</td></tr>" % (name, measured, budgets))
    return "\n".join(lines) + "</table></div></body></html>\n"


def plot_pages(rows, imflood, directory):
    """One page of plots for each row that was recorded, made by `imflood report`."""
    made = {}
    for row in rows:
        records = [path for path in row.records if os.path.exists(path)][:16]
        name = row.name + ".html"
        if records and subprocess.run([imflood, "report"] + records + ["--output", os.path.join(directory, name)]).returncode == 0:
            made[row.name] = name
    return made
