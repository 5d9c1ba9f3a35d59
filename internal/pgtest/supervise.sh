# Runs one private PostgreSQL cluster for as long as standard input stays open.
#
#   supervise.sh BIN BASE SETTINGS
#
# BIN holds the server's programs, the cluster's directory is made in BASE, and
# SETTINGS are lines for postgresql.conf. Prints "ready DIR" once connections
# are taken; before that, whatever it prints says why it failed. The test binary
# starts it (see doc.go): making, running and removing the cluster are one
# process, so that there is no moment at which a kill leaves something behind.
set -eu
bin=$1 base=$2 settings=$3

# Whoever started us may be interrupted, or be gone before it hears that we are
# ready; we end by the end of standard input, and not without cleaning up.
trap '' HUP INT TERM PIPE

dir=$(mktemp -d "$base/pgtest.XXXXXX")
data=$dir/data

clean_up() {
	# Nothing is worth saving, so the quickest stop will do.
	"$bin/pg_ctl" stop -D "$data" -m immediate >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap clean_up EXIT

give_up() {
	cat "$dir/setup.log" "$dir/server.log" 2>/dev/null || true
	exit 1
}

# C collation is the same on every machine, and unlike what people's servers
# have by default: an order that matters has to be asked for.
"$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/setup.log" 2>&1 || give_up
printf '%s\n' "$settings" "unix_socket_directories = '$dir'" >>"$data/postgresql.conf"
"$bin/pg_ctl" start -D "$data" -l "$dir/server.log" -w -t 60 >>"$dir/setup.log" 2>&1 || give_up

echo "ready $dir"
cat >/dev/null
