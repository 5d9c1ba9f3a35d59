package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/reconsent/reconsent/connector"
	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/consentfile"
)

// importOptions are the flags of consent import.
type importOptions struct {
	format           string
	strict, announce bool
}

func importCommand(std stdio) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Register consents that exist already, from CSV or JSON Lines", Args: cobra.ExactArgs(1),
		Long: `Registers consents that exist already. FILE is CSV with a header, or JSON Lines; - is standard input.

Columns: credentials_id, refresh_token, provider, provider_id, user_id, email,
redirect_uri, scope, consented_at, expires_at, custody ("ours" or "backend").

Bad rows are named by line and reason, good rows are kept. A consent that is
registered already is left as it is, so importing twice changes nothing. Nobody
is written to about stages that have passed already, unless --announce.

Exits 1 where a row was bad.`,
		RunE: onApplication(std, func(cmd *cobra.Command, args []string, sys *system, app *consent.Application) error {
			return importFile(cmd.Context(), std, sys, app, args[0], o)
		}),
	}
	addApplication(cmd)
	cmd.Flags().StringVar(&o.format, "format", "", "csv or jsonl (default: by the file's name)")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "keep no row where one is bad")
	cmd.Flags().BoolVar(&o.announce, "announce", false, "let the next sweep announce the latest stage that has passed")
	return cmd
}

// importBatch is how many rows are stored in one step.
const importBatch = 5000

func importFile(ctx context.Context, std stdio, sys *system, app *consent.Application, name string, o importOptions) error {
	format := consentfile.Format(o.format)
	if o.format == "" {
		var err error
		if format, err = consentfile.FormatOf(name); err != nil {
			return usageError{err}
		}
	}
	if format != consentfile.CSV && format != consentfile.JSONLines {
		return usagef("--format: want csv or jsonl")
	}
	if o.strict {
		if name == "-" {
			return usagef("--strict reads the file twice, so it cannot come from standard input")
		}
		check := importer{std: std, sys: sys, app: app, o: o, dry: true}
		if err := check.file(ctx, name, format); err != nil {
			return err
		}
		if check.bad > 0 {
			return fmt.Errorf("%d of %d rows are bad; none was kept (--strict)", check.bad, check.rows)
		}
	}
	im := importer{std: std, sys: sys, app: app, o: o}
	if err := im.file(ctx, name, format); err != nil {
		return fmt.Errorf("%w (%d consents were added before)", err, im.added)
	}
	_, _ = fmt.Fprintf(std.out, "%d rows: %d added, %d registered already, %d bad\n", im.rows, im.added, im.known, im.bad)
	if im.bad > 0 {
		return fmt.Errorf("%d rows are bad; they are named above", im.bad)
	}
	return nil
}

// importer carries one file into the registry.
type importer struct {
	std stdio
	sys *system
	app *consent.Application
	o   importOptions
	dry bool // only look

	rows, added, known, bad int
	lines                   []int
	batch                   []connector.NewConsent
	faults                  []fault // of this batch, not printed yet
	bar                     *progressbar.ProgressBar
}

// fault is what is wrong with a row.
type fault struct {
	line int
	err  error
}

func (im *importer) file(ctx context.Context, name string, format consentfile.Format) error {
	in, size, done, err := input(im.std, name)
	if err != nil {
		return err
	}
	defer done()
	im.bar = im.progress(size)
	defer func() { _ = im.bar.Close() }()
	rows, fatal := consentfile.Read(io.TeeReader(in, im.bar), format)
	for row := range rows {
		im.rows++
		if err := im.take(ctx, row); err != nil {
			return err
		}
	}
	if err := im.flush(ctx); err != nil {
		return err
	}
	return fatal()
}

// take adds a row to the batch, or names what is wrong with it.
func (im *importer) take(ctx context.Context, row consentfile.Row) error {
	if row.Err == nil && im.dry {
		row.Err = im.sys.connector.CheckRegistration(im.app, row.Consent)
	}
	switch {
	case row.Err != nil:
		im.faults = append(im.faults, fault{row.Line, row.Err})
	case !im.dry:
		im.lines = append(im.lines, row.Line)
		im.batch = append(im.batch, row.Consent)
	}
	if len(im.batch)+len(im.faults) < importBatch {
		return nil
	}
	return im.flush(ctx)
}

// flush stores a batch, and names its bad rows in the file's order.
func (im *importer) flush(ctx context.Context) error {
	results, err := im.sys.connector.RegisterAll(ctx, im.app, im.batch, im.o.announce)
	if err != nil {
		return err
	}
	for i, r := range results {
		switch {
		case r.Err != nil:
			im.faults = append(im.faults, fault{im.lines[i], r.Err})
		case r.Added:
			im.added++
		default:
			im.known++
		}
	}
	slices.SortFunc(im.faults, func(a, b fault) int { return cmp.Compare(a.line, b.line) })
	if len(im.faults) > 0 {
		_ = im.bar.Clear() // not into the middle of it
	}
	for _, f := range im.faults {
		im.complain(f.line, f.err)
	}
	im.lines, im.batch, im.faults = im.lines[:0], im.batch[:0], im.faults[:0]
	return nil
}

func (im *importer) complain(line int, err error) {
	im.bad++
	reason := err.Error()
	if e, ok := errors.AsType[*consent.Error](err); ok {
		reason = e.Detail
		if e.Field != "" && !strings.HasPrefix(e.Detail, e.Field) {
			reason = e.Field + ": " + e.Detail
		}
	}
	_, _ = fmt.Fprintf(im.std.err, "line %d: %s\n", line, reason)
}

// progress shows a bar where a person is looking.
func (im *importer) progress(size int64) *progressbar.ProgressBar {
	f, ok := im.std.err.(*os.File)
	if im.dry || !ok || !term.IsTerminal(int(f.Fd())) {
		return progressbar.DefaultBytesSilent(size)
	}
	if size == 0 {
		size = -1
	}
	return progressbar.DefaultBytes(size, "importing")
}
