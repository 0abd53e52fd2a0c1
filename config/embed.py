"""Turns a text file into a C string literal, line by line: embed.py INPUT OUTPUT."""
import sys

with open(sys.argv[1], encoding='utf-8') as text, open(sys.argv[2], 'w', encoding='utf-8') as out:
    for line in text.read().splitlines():
        out.write('"%s\\n"\n' % line.replace('\\', '\\\\').replace('"', '\\"'))
