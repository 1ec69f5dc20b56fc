#!/usr/bin/env bash
# The tour of the README against the cities that load.sh has loaded: each command, then its reply.
#   examples/cities/tour.sh [PORT]            runs it
#   examples/cities/tour.sh [PORT] --check    loads the cities anew, runs it, and compares with tour.txt and the README
# Needs a server on this machine; the last step looks into its data directory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
port=6379
check=no
for argument in "$@"; do
  case $argument in
    --check) check=yes ;;
    *) port=$argument ;;
  esac
done

redis() { redis-cli -p "$port" --raw "$@"; }

# run WORD... : prints the command as one would type it, and the reply. An argument of JSON or with a $ is quoted.
run() {
  local line='>' word
  for word in "$@"; do
    case $word in
      *[\{\$\*]*) line+=" '$word'" ;;
      *) line+=" $word" ;;
    esac
  done
  echo "$line"
  # After an error redis-cli prints an empty line.
  redis "$@" | sed '/^[A-Z]* .*/{n;/^$/d}'
}

# The data directory of the server, wherever it was started.
data_directory() {
  local dir pid
  dir=$(redis CONFIG GET dir | tail -1)
  pid=$(redis INFO server | tr -d '\r' | sed -n 's/^process_id://p')
  case $dir in
    /*) echo "$dir" ;;
    *) echo "/proc/$pid/cwd/$dir" ;;
  esac
}

tour() {
  run DOC.COUNT cities
  run DOC.GET cities 114540
  run DOC.GET cities 114540 '$["lat","lng"]'
  run DOC.COUNT cities '{"country":"IT","name":{"$regex":"^San "}}'
  run DOC.FIND cities '{"country":"IT","name":{"$regex":"^San "}}' PROJECT '{"_id":0,"name":1,"lat":1}' \
    SORT '{"lat":-1}' LIMIT 3
  run DOC.UPDATE cities '{"lat":{"$gt":66.5}}' '{"$set":{"arctic":true},"$inc":{"visits":1}}'
  run DOC.FIND cities '{"arctic":true}' SORT '{"lat":-1}' LIMIT 2 WITHVER
  run DOC.AGGREGATE cities \
    '[{"$group":{"_id":"$country","places":{"$sum":1},"north":{"$max":"$lat"}}},{"$sort":{"places":-1}},{"$limit":3}]'
  run DOC.DELETE cities '{"country":"VA"}'
  run DOC.SET cities home '{"name":"Home","lat":52.1,"lng":5.3}' IFVER 0
  run DOC.SET cities home '{"name":"Home","lat":52.2,"lng":5.3}' IFVER 1
  run DOC.SET cities home '{"name":"Home","lat":52.3,"lng":5.3}' IFVER 1
  run DOC.FIND cities '{"name":{"$regx":"^San "}}'
  run DOC.COLLECTIONS
  run DOC.STATS cities
  echo "\$ grep -rlaE 'Amsterdam|arctic|cities' veddb-data | wc -l"
  grep -rlaE 'Amsterdam|arctic|cities' "$(data_directory)" | wc -l
}

# What differs from one run to the next: the time, the log's length, the estimated size of the index.
mask() { sed '/^\(version\|created\|indexSize\)$/{n;s/.*/../}'; }

# What the README shows.
shown() { awk '/^```redis$/ { on = 1; next } /^```$/ { on = 0 } on' "$here/../../README.md"; }

if [ "$check" = no ]; then
  tour
  exit
fi
redis DOC.DROP cities >/dev/null
"$here/load.sh" "$port" >/dev/null
diff <(tour | mask) <(mask <"$here/tour.txt")
diff <(shown) "$here/tour.txt"
echo "the tour is as the README shows it"
