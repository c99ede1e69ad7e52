"""Prints the number of files below a folder: count_files.py FOLDER."""

import os
import sys

print(sum(len(files) for _, _, files in os.walk(sys.argv[1])))
