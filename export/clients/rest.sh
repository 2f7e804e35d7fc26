#!/bin/sh
# Draw more of two images, by curl and nothing else.
#
#   export/clients/rest.sh http://127.0.0.1:8501 NAME one.png two.png > answer.json
#
# The answer holds PNG files in base64; rest_client.py writes them to a folder.
set -eu
server=$1 model=$2
shift 2

files=
for path in "$@"; do
    files="$files${files:+, }{\"b64\": \"$(base64 < "$path" | tr -d '\n')\"}"
done
curl --silent --show-error --fail-with-body --data-binary @- \
    "$server/v1/models/$model:predict" <<REQUEST
{
  "signature_name": "adapt_and_sample_bytes",
  "inputs": {
    "image_bytes": [$files],
    "num_samples": 8, "steps": 10, "seed": [0, 1]
  }
}
REQUEST
