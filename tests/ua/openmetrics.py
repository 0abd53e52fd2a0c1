"""OpenMetrics 1.0 read by its grammar and rules: what is not allowed is a Failure that names the line."""
import re

from . import Failure, check

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
STRING = r'(?:[^\n"\\]|\\[n"\\])*'
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?[iI]nf(?:inity)?|[nN]a[nN]")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="(%s)"' % STRING)
SAMPLE = re.compile(r'(%s)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="%s",?)*)\})? (\S+)' % (NAME, STRING))
COMMENT = re.compile(r"# (TYPE|UNIT|HELP) (%s) (%s)" % (NAME, STRING))
SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",), "info": ("_info",), "unknown": ("",), "stateset": ("",),
            "histogram": ("_bucket", "_count", "_sum", "_created"), "summary": ("", "_count", "_sum", "_created"),
            "gaugehistogram": ("_bucket", "_gcount", "_gsum")}


class Family:
    def __init__(self, name):
        self.name, self.type, self.unit, self.help = name, "unknown", "", None
        self.samples = {}    # (suffix, labels as sorted pairs) -> value
        self.said = set()    # which comments it had

    def value(self, suffix="", **labels):
        return self.samples[(suffix, tuple(sorted(labels.items())))]

    def comment(self, keyword, text):
        check(keyword not in self.said, "%s of %s twice" % (keyword, self.name))
        check(not self.samples, "%s of %s behind its samples" % (keyword, self.name))
        self.said.add(keyword)
        if keyword == "TYPE":
            check(text in SUFFIXES, "type %r of %s" % (text, self.name))
            self.type = text
        elif keyword == "UNIT":
            check(text and self.name.endswith("_" + text), "unit %r of %s" % (text, self.name))
            self.unit = text
        else:
            self.help = text

    def sample(self, suffix, labels, value, line):
        names = [name for name, _ in labels]
        check(len(names) == len(set(names)), "a label twice: %s" % line)
        key = (suffix, tuple(sorted(labels)))
        check(key not in self.samples, "twice: %s" % line)
        self.samples[key] = value

    def judge(self):
        """What holds for all samples together."""
        check(self.samples, "%s has no samples" % self.name)
        check(self.type == "info" or not self.name.endswith("_info"), "%s ends like an info" % self.name)
        check(not self.name.endswith(("_total", "_created", "_bucket")), "%s ends like a sample" % self.name)
        for (suffix, labels), value in self.samples.items():
            if self.type == "counter" or suffix in ("_count", "_bucket"):
                check(value >= 0, "%s%s is %s" % (self.name, suffix, value))
            if self.type == "info":
                check(value == 1, "%s is %s" % (self.name, value))
            check((suffix == "_bucket") == ("le" in dict(labels)), "le of %s%s" % (self.name, suffix))
        if self.type == "histogram":
            self.judge_histogram()

    def judge_histogram(self):
        groups = {}
        for (suffix, labels), value in self.samples.items():
            rest = tuple(pair for pair in labels if pair[0] != "le")
            group = groups.setdefault(rest, {"buckets": []})
            if suffix == "_bucket":
                group["buckets"].append((dict(labels)["le"], value))
            else:
                group[suffix] = value
        for labels, group in groups.items():
            bounds = [float(le) for le, _ in group["buckets"]]
            counts = [count for _, count in group["buckets"]]
            check(bounds == sorted(set(bounds)), "bounds of %s: %s" % (self.name, bounds))
            check(group["buckets"][-1][0] == "+Inf", "%s has no +Inf" % self.name)
            check(counts == sorted(counts), "%s%s is not cumulative: %s" % (self.name, labels, counts))
            check(group.get("_count") == counts[-1], "count of %s: %s of %s" % (self.name, group.get("_count"), counts[-1]))
            check("_sum" in group and (group["_sum"] >= 0 or bounds[0] < 0), "sum of %s" % self.name)
            for le, _ in group["buckets"]:
                check(le == canonical(float(le)), "le=\"%s\" is written %s" % (le, canonical(float(le))))


def canonical(number):
    """As the standard wants bounds: the shortest digits, as %g of C and with a point."""
    if number == float("inf"):
        return "+Inf"
    text = "%g" % number if float("%g" % number) == number else repr(number)
    return text if "e" in text or "." in text else text + ".0"


def parse(text):
    """name -> Family."""
    check(text.endswith("# EOF\n"), "it ends with %r" % text[-20:])
    families, current, owners = {}, None, {}
    for line in text[:-len("# EOF\n")].split("\n")[:-1]:
        comment, sample = COMMENT.fullmatch(line), SAMPLE.fullmatch(line)
        name = (comment or sample)[2 if comment else 1] if comment or sample else None
        if comment:
            if not current or current.name != name:
                check(name not in families, "%s in two places" % name)
                current = families[name] = Family(name)
            current.comment(comment[1], comment[3])
        elif sample:
            check(current is not None and name.startswith(current.name), "%s without a family" % line)
            suffix = name[len(current.name):]
            check(suffix in SUFFIXES[current.type], "%s of the %s %s" % (line, current.type, current.name))
            check(owners.setdefault(name, current) is current, "%s in two families" % name)
            check(NUMBER.fullmatch(sample[3]), "number %r" % line)
            check(not (sample[2] or "").endswith(","), "comma at the end of labels: %s" % line)
            current.sample(suffix, LABEL.findall(sample[2] or ""), float(sample[3]), line)
        else:
            raise Failure("line %r" % line)
    for family in families.values():
        family.judge()
    return families
