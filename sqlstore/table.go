package sqlstore

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"github.com/reconsent/reconsent/migrations"
)

// table is a set of rows on its way into one statement, which reads it under
// the name r: as one array a column on PostgreSQL, as one JSON text on SQLite.
// Columns are text, whole numbers or bytes, by typeOf; a moment that is unknown
// goes as 0, which the statement turns into NULL.
type table struct {
	columns []string
	rows    [][]any // string, int, int64 or hexBytes, in the order of columns
}

// withTable declares a statement that reads a table with these columns: it
// stands in the place of "@r".
func withTable(columns []string, text string) *statement {
	arrays, values := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = "CAST(:" + c + " AS " + typeOf(c) + "[])"
		values[i] = "value ->> " + strconv.Itoa(i) + " AS " + c
		if typeOf(c) == "BYTEA" {
			values[i] = "unhex(value ->> " + strconv.Itoa(i) + ") AS " + c
		}
	}
	return sideBySide(
		strings.ReplaceAll(text, "@r", "unnest("+strings.Join(arrays, ", ")+") AS r("+strings.Join(columns, ", ")+")"),
		strings.ReplaceAll(text, "@r", "(SELECT "+strings.Join(values, ", ")+" FROM json_each(:rows)) AS r"),
	)
}

// forEach declares a statement that reads the rows of many keys: text is that
// of one, with "= @id". On PostgreSQL it stays one lookup for each key, whatever
// the planner knows of the tables: given all keys at once, it may read all that
// the application has.
func forEach(text string) *statement {
	return sideBySide(
		"SELECT x.* FROM unnest(CAST(:ids AS TEXT[])) AS k(id), LATERAL ("+strings.ReplaceAll(text, "= @id", "= k.id")+" OFFSET 0) AS x",
		strings.ReplaceAll(text, "= @id", "IN (SELECT value FROM json_each(:ids))"),
	)
}

// keys returns the :ids of such a statement, each once.
func keys(d migrations.Dialect, ids []string) any {
	once := slices.Compact(slices.Sorted(slices.Values(ids)))
	if d == migrations.Postgres {
		return pq.StringArray(once)
	}
	text, _ := json.Marshal(once) //nolint:errchkjson // of strings
	return string(text)
}

// hexBytes are bytes as a table carries them.
type hexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

func (t *table) add(row ...any) { t.rows = append(t.rows, row) }

// args adds the table to the arguments of its statement.
func (t *table) args(d migrations.Dialect, a args) (args, error) {
	if d != migrations.Postgres {
		rows, err := json.Marshal(t.rows)
		a["rows"] = string(rows)
		return a, err
	}
	for i, c := range t.columns {
		if typeOf(c) == "TEXT" {
			col := make(pq.StringArray, len(t.rows))
			for j, row := range t.rows {
				col[j] = row[i].(string) //nolint:errcheck,forcetypeassert // rows are made beside their columns
			}
			a[c] = col
			continue
		}
		if typeOf(c) == "BYTEA" {
			col := make(pq.ByteaArray, len(t.rows))
			for j, row := range t.rows {
				col[j] = row[i].(hexBytes) //nolint:errcheck,forcetypeassert // likewise
			}
			a[c] = col
			continue
		}
		col := make(pq.Int64Array, len(t.rows))
		for j, row := range t.rows {
			if n, small := row[i].(int); small {
				col[j] = int64(n)
			} else {
				col[j] = row[i].(int64) //nolint:errcheck,forcetypeassert // likewise
			}
		}
		a[c] = col
	}
	return a, nil
}

// micros is a moment as a table carries it.
func (s stamp) micros() int64 {
	if s.IsZero() {
		return 0
	}
	return s.UnixMicro()
}
