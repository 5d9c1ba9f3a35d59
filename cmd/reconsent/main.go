package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // people's time zones, on machines that have none
)

// version is set at build time by -ldflags "-X main.version=...".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitParked = 3 // done, but some consents cannot be judged
)

// run runs one command and returns the exit code. Faults are one clear line on
// standard error.
func run(ctx context.Context, args []string, io stdio) int {
	root := newRoot(io) //nolint:contextcheck // cobra hands the context to the command that runs
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		fmt.Fprintln(io.err, "reconsent: "+err.Error())
		return exitUsage
	case errors.Is(err, errParked):
		return exitParked
	default:
		fmt.Fprintln(io.err, "reconsent: "+err.Error())
		return exitFailed
	}
}
