package pgtest

import (
	"bufio"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests go round DSN: it is the private cluster that they are about,
// whether or not TEST_DATABASE_URL names another server.

func TestOnlyTheDurableServerSyncs(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*cluster{"on": &durable, "off": &volatile} {
		admin, err := c.start()
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("postgres", admin.String())
		if err != nil {
			t.Fatal(err)
		}
		var got string
		err = db.QueryRowContext(t.Context(), "SHOW fsync").Scan(&got)
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("fsync is %s, want %s", got, want)
		}
	}
}

// In the environment of this test binary when it is the one to be killed.
const victim = "PGTEST_VICTIM"

// TestNothingIsLeftAfterAKill starts a second test binary that gets no chance
// to clean up, and waits for its cluster to vanish all the same.
func TestNothingIsLeftAfterAKill(t *testing.T) {
	if os.Getenv(victim) != "" {
		beKilled(t)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), victim+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var said strings.Builder
	for lines := bufio.NewScanner(stdout); dir == "" && lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if host, ok := strings.CutPrefix(lines.Text(), "cluster "); ok {
			dir = host
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the victim's cluster: %v\n%s", err, said.String())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the victim ended by itself: %v\n%s", err, said.String())
	}
	for range 1500 {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s is still there", dir)
}

// beKilled starts a cluster, tells where, and waits.
func beKilled(t *testing.T) {
	admin, err := volatile.start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stdout.WriteString("\ncluster " + admin.Query().Get("host") + "\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	t.Fatal("nobody killed this process")
}

// TestNothingIsLeftAfterAKillWhileStarting runs the supervisor of a test binary
// that was gone before the cluster was ready.
func TestNothingIsLeftAfterAKillWhileStarting(t *testing.T) {
	t.Parallel()
	bin, err := binaries(debianBins)
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp(baseDir(), "base")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(base, 0o777); err != nil { // as root the cluster is another user's
		t.Fatal(err)
	}
	cmd, err := supervise(bin, base, commonSettings+volatile.settings)
	if err != nil {
		t.Fatal(err)
	}
	report, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = stdout // and no standard input
	if err := errors.Join(report.Close(), cmd.Start(), stdout.Close()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it cannot say that it is ready, and may call that a failure
	left, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%s is still there", left[0].Name())
	}
}

func TestAClusterThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	broken := cluster{settings: "max_connections = plenty\n"}
	_, err := broken.start()
	if err == nil || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("error is %v, want one that names max_connections", err)
	}
	if err := broken.stop(); err == nil {
		t.Error("the supervisor's failure is not told")
	}
}

func TestNewestBinariesAreTaken(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	root := t.TempDir()
	glob := filepath.Join(root, "*", "bin")
	install := func(version string, files ...string) {
		dir := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := binaries(glob); !errors.Is(err, errNoBinaries) {
		t.Errorf("with nothing installed the error is %v, want %v", err, errNoBinaries)
	}
	install("9.6", programs...)
	install("15", programs...)
	install("16", "pg_dump") // the client only
	got, err := binaries(glob)
	if want := filepath.Join(root, "15", "bin"); err != nil || got != want {
		t.Errorf("binaries are %q, %v, want %q", got, err, want)
	}
	// Neither order of directory entries nor of digits decides.
	install("100", programs...)
	got, err = binaries(glob)
	if want := filepath.Join(root, "100", "bin"); err != nil || got != want {
		t.Errorf("binaries are %q, %v, want %q", got, err, want)
	}
}

func TestGivenServer(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]url.Values{
		"postgres://u:p@h:5432/db":                    {"sslmode": {"disable"}},
		"postgresql://u@h/db?sslmode=verify-full":     {"sslmode": {"verify-full"}},
		"postgres://u@/db?host=/run/pg&sslmode=allow": {"host": {"/run/pg"}, "sslmode": {"allow"}},
	} {
		u, err := parseGiven(given)
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		for key := range want {
			if !slices.Equal(u.Query()[key], want[key]) {
				t.Errorf("%s: %s is %q, want %q", given, key, u.Query()[key], want[key])
			}
		}
	}
	for _, given := range []string{"host=h user=u password=hunter2", "mysql://u:hunter2@h/db", "postgres://u:hunter2@h:port/"} {
		_, err := parseGiven(given)
		if err == nil {
			t.Errorf("%s is taken", given)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
