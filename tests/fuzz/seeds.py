"""Makes a target's first inputs of the transcripts' requests, and a dictionary of the names in docs/language.md.

usage: seeds.py TARGET CORPUS DICTIONARY
"""

import pathlib
import re
import shlex
import sys

target, corpus, dictionary = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])

names = set(re.findall(r"`(\$[$\w]+)`", pathlib.Path("docs/language.md").read_text()))
names |= set(re.findall(r"\b(\w+)\??[,}]", " ".join(re.findall(r"`\{([^`]*\})`", pathlib.Path("docs/language.md").read_text()))))
names |= {"$oid", "$date", "$numberLong", "$numberDecimal", "$numberDouble", "$binary", "$regularExpression", "$timestamp", "$minKey"}
dictionary.write_text("".join(f'"{name}"\n' for name in sorted(names)))

document = '{"_id":1,"a":[{"b":1,"c":["x",null]},{"b":[2,3]},-1.5],"b":{"c":{"$date":"2024-02-29T12:00:00Z"}},"c":"text"}'


def lines(words):
    """The lines of an input that one request stands for, if it is one of those that the target is about."""
    name, arguments = words[0].upper(), words[2:]
    options = {word: arguments[at + 1] for at, word in enumerate(arguments[:-1]) if word.isupper()}
    if name in ("DOC.FIND", "DOC.COUNT") and target == "filter":
        return [arguments[0], document]
    if name == "DOC.FIND" and target == "projection" and "PROJECT" in options:
        return [options["PROJECT"], arguments[0], document]
    if name in ("DOC.UPDATE", "DOC.FINDANDMODIFY") and target == "update":
        return [arguments[1], options.get("ARRAYFILTERS", ""), arguments[0], document]
    if target == "expression" and '"$expr":' in " ".join(arguments):
        found = re.search(r'"\$expr":(\{.*\})\}', " ".join(arguments))
        return [found.group(1), document] if found else None
    return None


count = 0
for script in sorted(pathlib.Path("tests/scripts").rglob("*.resp")):
    for line in script.read_text().splitlines():
        if not line.startswith("> "):
            continue
        try:
            made = lines(shlex.split(line[2:]))
        except (ValueError, IndexError):
            continue
        if made:
            (corpus / f"transcript-{count}").write_text("\n".join(made))
            count += 1
print(f"{count} inputs of transcripts, {len(names)} names")
