#!/usr/bin/env bash
# Starts bin/sluice with a null output, sends CALLS unary calls from CALLERS at once with ghz, and stops it again.
# Fails unless every call was OK and the gateway ended well. ADDR and ADMIN keep away from a gateway on the default ports.
set -euo pipefail

calls=${CALLS:-20000} callers=${CALLERS:-20}
addr=${ADDR:-127.0.0.1:14317} admin=${ADMIN:-127.0.0.1:19317}
dir=$(mktemp -d)
gateway=

stop() {
	[[ -z $gateway ]] || kill "$gateway" 2>/dev/null || true
	rm -rf "$dir"
}
trap stop EXIT

cat >"$dir/sluice.yaml" <<-YAML
	server: {listen: "$addr", admin: "$admin"}
	outputs:
	  - {name: nowhere, type: "null"}
	routes:
	  - {match: "**", outputs: [nowhere]}
YAML

bin/sluice serve --config "$dir/sluice.yaml" &
gateway=$!

for ((tries = 100; ; tries--)); do
	kill -0 "$gateway" 2>/dev/null || { echo 'load: the gateway did not start' >&2; exit 1; }
	(: <"/dev/tcp/${addr%:*}/${addr##*:}") 2>/dev/null && break
	((tries)) || { echo "load: nothing listens on $addr after 10 s" >&2; exit 1; }
	sleep 0.1
done

bin/ghz --insecure --call sluice.v1.IngestService/SendLogs \
	--data '{"tag": "load.ghz", "records": [{"body": {"stringValue": "hello"}}]}' \
	--total "$calls" --concurrency "$callers" "$addr" | tee "$dir/report"

kill -TERM "$gateway"
wait "$gateway" || { echo "load: the gateway ended with $?" >&2; exit 1; }
gateway=
grep -Eq "^ *\[OK\] +$calls responses" "$dir/report" || { echo "load: not all of $calls calls were OK" >&2; exit 1; }
