package consentfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
)

// Columns are the fields of a file, in the order in which they are written.
// Reading takes them in any order; credentials_id, provider, user_id and
// consented_at cannot be left out.
var Columns = []string{
	"credentials_id", "refresh_token", "provider", "provider_id", "user_id", "email", "redirect_uri", "scope",
	"consented_at", "expires_at", "custody",
}

// Row is one line of a file: a consent, or what is wrong with it.
type Row struct {
	Line    int // of the file, from 1
	Consent connector.NewConsent
	Err     error // *RowError; nil for a good row
}

// RowError says what is wrong with one row, and in which field.
type RowError struct {
	Field  string // empty where the row as a whole is at fault
	Reason string
}

// Error implements error.
func (e *RowError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Format is a file format.
type Format string

// The formats.
const (
	CSV       Format = "csv"
	JSONLines Format = "jsonl"
)

// FormatOf tells a file's format by its name.
func FormatOf(name string) (Format, error) {
	switch {
	case strings.HasSuffix(name, ".csv"):
		return CSV, nil
	case strings.HasSuffix(name, ".jsonl"), strings.HasSuffix(name, ".ndjson"):
		return JSONLines, nil
	default:
		return "", fmt.Errorf("%s: want a name that ends in .csv, .jsonl or .ndjson, or say --format", name)
	}
}

// maxLine bounds one line of JSON, in bytes.
const maxLine = 1 << 20

// Read yields the rows of a file. A fault that ends the whole file, such as a
// header that is not one, is returned by the second function once the rows
// have been read.
func Read(r io.Reader, f Format) (iter.Seq[Row], func() error) {
	var fatal error
	rows := func(yield func(Row) bool) {
		r := bufio.NewReaderSize(r, 64<<10)
		skipBOM(r)
		if f == JSONLines {
			fatal = readJSON(r, yield)
		} else {
			fatal = readCSV(r, yield)
		}
	}
	return rows, func() error { return fatal }
}

// skipBOM skips the byte order mark that spreadsheets write.
func skipBOM(r *bufio.Reader) {
	if b, err := r.Peek(3); err == nil && bytes.Equal(b, []byte("\xef\xbb\xbf")) {
		_, _ = r.Discard(3)
	}
}

func readCSV(r *bufio.Reader, yield func(Row) bool) error {
	c := csv.NewReader(r)
	c.Comma = delimiter(r)
	c.FieldsPerRecord = -1 // a short row is that row's fault
	c.ReuseRecord = true
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	if err != nil {
		return fmt.Errorf("line 1: the header cannot be read: %w", csvFault(err))
	}
	columns, err := checkHeader(slices.Clone(header))
	if err != nil {
		return fmt.Errorf("line 1: %w", err)
	}
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		row, err := csvRow(c, columns, record, err)
		if err != nil || !yield(row) {
			return err
		}
	}
}

// delimiter is a semicolon where the header has those and no comma: so write
// spreadsheets in the countries that use the comma in numbers.
func delimiter(r *bufio.Reader) rune {
	begin, _ := r.Peek(4 << 10) // as much as there is
	header, _, _ := bytes.Cut(begin, []byte("\n"))
	if bytes.ContainsRune(header, ';') && !bytes.ContainsRune(header, ',') {
		return ';'
	}
	return ','
}

// csvRow turns a record into a row. A record that does not parse is that row's
// fault; any other error ends the file.
func csvRow(c *csv.Reader, columns, record []string, err error) (Row, error) {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return Row{Line: parse.StartLine, Err: &RowError{Reason: csvFault(err).Error()}}, nil
	}
	if err != nil {
		return Row{}, err
	}
	line, _ := c.FieldPos(0)
	if len(record) != len(columns) {
		return Row{Line: line, Err: &RowError{Reason: fmt.Sprintf("has %d fields, the header has %d", len(record), len(columns))}}, nil
	}
	fields := make(map[string]string, len(columns))
	for i, name := range columns {
		fields[name] = strings.TrimSpace(record[i])
	}
	row := Row{Line: line}
	row.Consent, row.Err = parseRow(fields)
	return row, nil
}

// csvFault keeps of a CSV error what quotes nothing.
func csvFault(err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("not CSV at column %d: %w", parse.Column, parse.Err)
	}
	return err
}

func checkHeader(header []string) ([]string, error) {
	seen := map[string]bool{}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(header[i]))
		switch name := header[i]; {
		case !slices.Contains(Columns, name):
			return nil, fmt.Errorf("the header names a column %q; the columns are %s", name, strings.Join(Columns, ", "))
		case seen[name]:
			return nil, fmt.Errorf("the header names %s twice", name)
		default:
			seen[name] = true
		}
	}
	for _, name := range []string{"credentials_id", "provider", "user_id", "consented_at"} {
		if !seen[name] {
			return nil, fmt.Errorf("the header has no column %s", name)
		}
	}
	return header, nil
}

func readJSON(r *bufio.Reader, yield func(Row) bool) error {
	for line := 1; ; line++ {
		text, tooLong, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return err // half a line is none
		}
		if len(text) > 0 || tooLong {
			if !yield(jsonRow(line, text, tooLong)) {
				return nil
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the file
		}
	}
}

// readLine reads one line without the space around it. Of one that is too long
// it keeps nothing.
func readLine(r *bufio.Reader) (text []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > maxLine {
			tooLong, text = true, nil
		}
		if !tooLong {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(text), tooLong, err
		}
	}
}

func jsonRow(line int, text []byte, tooLong bool) Row {
	row := Row{Line: line}
	if tooLong {
		row.Err = &RowError{Reason: fmt.Sprintf("is longer than %d bytes", maxLine)}
		return row
	}
	fields, err := jsonFields(text)
	if err != nil {
		row.Err = err
		return row
	}
	row.Consent, row.Err = parseRow(fields)
	return row
}

func jsonFields(text []byte) (map[string]string, error) {
	var raw map[string]any
	if !utf8.Valid(text) || json.Unmarshal(text, &raw) != nil || raw == nil {
		return nil, &RowError{Reason: "is not a JSON object"}
	}
	fields := make(map[string]string, len(raw))
	for name, value := range raw {
		if !slices.Contains(Columns, name) {
			return nil, &RowError{Field: name, Reason: "is not a field of a consent"}
		}
		switch value := value.(type) {
		case nil:
		case string:
			fields[name] = value
		case []any:
			words, err := jsonWords(name, value)
			if err != nil {
				return nil, err
			}
			fields[name] = words
		default:
			return nil, &RowError{Field: name, Reason: "is not a string"}
		}
	}
	return fields, nil
}

// jsonWords lets scope be a list.
func jsonWords(name string, list []any) (string, error) {
	words := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(string)
		if !ok || name != "scope" {
			return "", &RowError{Field: name, Reason: "is not a string"}
		}
		words[i] = s
	}
	return strings.Join(words, " "), nil
}

// parseRow turns the fields of one row into a consent. What only the registry's
// side can judge is left to it.
func parseRow(fields map[string]string) (connector.NewConsent, error) {
	c := connector.NewConsent{
		CredentialsID: fields["credentials_id"], RefreshToken: fields["refresh_token"], Provider: fields["provider"],
		ProviderID: fields["provider_id"], UserID: fields["user_id"], Email: fields["email"], RedirectURI: fields["redirect_uri"],
		Scopes: strings.FieldsFunc(fields["scope"], func(r rune) bool { return r == ' ' || r == ',' }), Custody: consent.Custody(strings.ToLower(fields["custody"])),
	}
	var err error
	if c.ConsentedAt, err = moment(fields, "consented_at"); err != nil {
		return c, err
	}
	if c.ExpiresAt, err = moment(fields, "expires_at"); err != nil {
		return c, err
	}
	return c, nil
}

func moment(fields map[string]string, name string) (time.Time, error) {
	s := fields[name]
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, &RowError{Field: name, Reason: "is no RFC 3339 time, like 2026-07-01T09:30:00Z, and no date, like 2026-07-01"}
}
