#!/bin/sh
# Trains, exports, tunes and measures the incident-logs bundle.
#   incident-logs.sh DATA WORK BUNDLE REVISION
# DATA: folder with mwo2kg_ner, maintie, mwo2kg_failure_mode, omin_faa, pdl_excavator.
set -eu
