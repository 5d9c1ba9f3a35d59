package pgtest

import (
	"bufio"
	_ "embed" // supervise.sh
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

//go:embed supervise.sh
var superviseScript string

// Room for every test of a binary to hold a pool, and a zone that is neither
// UTC nor a whole hour away from it.
const commonSettings = `max_connections = 200
listen_addresses = ''
timezone = 'Asia/Kathmandu'
`

// A Unix socket's path may have some 100 bytes; this leaves room for its name.
const maxSocketDir = 70

// cluster is a private server. It starts once; if that fails, every test that
// asks is told why.
type cluster struct {
	settings string

	once sync.Once
	url  *url.URL
	err  error

	supervisor *exec.Cmd
	lifeline   *os.File // the supervisor's standard input: closed, it ends
}

func (c *cluster) start() (*url.URL, error) {
	c.once.Do(func() { c.url, c.err = c.run() })
	return c.url, c.err
}

// stop waits until the cluster is gone. A cluster that never started is gone.
func (c *cluster) stop() error {
	if c.lifeline == nil {
		return nil
	}
	return errors.Join(c.lifeline.Close(), c.supervisor.Wait())
}

func (c *cluster) run() (*url.URL, error) {
	bin, err := binaries(debianBins)
	if err != nil {
		return nil, err
	}
	cmd, err := supervise(bin, baseDir(), commonSettings+c.settings)
	if err != nil {
		return nil, err
	}
	stdin, lifeline, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	report, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = report.Close() }() // read to its end, or of no use

	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stdout
	err = cmd.Start()
	// The supervisor has its own copies. Ours would hide its end from us.
	err = errors.Join(err, stdin.Close(), stdout.Close())
	if err != nil {
		return nil, errors.Join(err, lifeline.Close())
	}
	c.supervisor, c.lifeline = cmd, lifeline

	dir, err := awaitReady(report)
	if err != nil {
		return nil, err
	}
	return &url.URL{
		Scheme:   "postgres",
		User:     url.User("postgres"),
		Path:     "/postgres",
		RawQuery: url.Values{"host": {dir}, "sslmode": {"disable"}}.Encode(),
	}, nil
}

// supervise is the command that runs supervise.sh.
func supervise(bin, base, settings string) (*exec.Cmd, error) {
	attr, err := processAttributes()
	if err != nil {
		return nil, err
	}
	//nolint:noctx // it is to outlive the test that happened to be the first
	cmd := exec.Command("/bin/sh", "-c", superviseScript, "supervise.sh", bin, base, settings)
	cmd.Dir = "/" // the working directory may be closed to the other user
	cmd.Env = environ()
	cmd.SysProcAttr = attr
	return cmd, nil
}

// awaitReady reads the supervisor's report until it names the directory. All
// that comes before an early end is the reason for it.
func awaitReady(report io.Reader) (dir string, err error) {
	var said strings.Builder
	lines := bufio.NewScanner(report)
	for lines.Scan() {
		if dir, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			return dir, nil
		}
		said.WriteString(lines.Text() + "\n")
	}
	return "", errors.Join(fmt.Errorf("the private cluster did not start:\n%s", said.String()), lines.Err())
}

// processAttributes puts the supervisor into a session of its own, so that
// Ctrl-C reaches the tests only, and, as root, under a user that PostgreSQL
// agrees to run as.
func processAttributes() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}

// baseDir is where the cluster's directory is made: TMPDIR, unless a socket's
// path would not fit or another user could not get there.
func baseDir() string {
	if dir := os.TempDir(); os.Geteuid() != 0 && len(dir) <= maxSocketDir {
		return dir
	}
	return "/tmp"
}
