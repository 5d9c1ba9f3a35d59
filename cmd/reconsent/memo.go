package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/provider"
	"github.com/reconsent/reconsent/seal"
)

// memo is what dev has to remember between runs and cannot read back from the
// database, which keeps hashes and ciphertext only.
type memo struct {
	path string

	Keys                json.RawMessage `json:"keys"`
	APIKey              string          `json:"api_key"`
	UserJWTSecret       string          `json:"user_jwt_secret"`
	SandboxClientID     string          `json:"sandbox_client_id"`
	SandboxClientSecret string          `json:"sandbox_client_secret"`
}

// loadMemo reads the memo, or makes a new one.
func loadMemo(path string) (*memo, error) {
	m := &memo{path: path}
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, m); err != nil {
			return nil, fmt.Errorf("%s is damaged (%w); remove the data directory to start anew", path, err)
		}
		return m, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	keys, err := seal.Generate()
	if err != nil {
		return nil, err
	}
	if m.Keys, err = keys.Marshal(); err != nil {
		return nil, err
	}
	m.UserJWTSecret = randomSecret()
	m.SandboxClientID, m.SandboxClientSecret = "sandbox-demo-"+randomSecret()[:6], randomSecret()
	return m, m.save() // before anything is sealed under these keys
}

// save replaces the file in one step.
func (m *memo) save() error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(m.path+".new", m.path)
}

// memoFile is its name in dev's data directory.
const memoFile = "dev.json"

// addDev gives a command the flag by which it works on what dev keeps.
func addDev(cmd *cobra.Command) {
	cmd.Flags().String(devFlag, "", "data directory of 'reconsent dev': take its registry and its keys, and what only development may have (no iss and aud, origins on this machine)")
}

const devFlag = "dev"

// ofDev reports whether a command works on what dev keeps, and names the
// registry and the keys to it. A deployment has no such directory: there
// nothing is loosened by it.
func ofDev(cmd *cobra.Command) (bool, error) {
	if !cmd.Flags().Changed(devFlag) {
		return false, nil
	}
	dir, _ := cmd.Flags().GetString(devFlag)
	if dir == "" { // a variable that is not set: what is configured is not meant
		return false, usagef("--%s is empty: name the data directory of 'reconsent dev'", devFlag)
	}
	if cmd.Flags().Changed("keys") {
		return false, usagef("--%s brings its own keys: leave --keys out", devFlag)
	}
	path := filepath.Join(dir, memoFile)
	if _, err := os.Stat(path); err != nil { // to read it would make one
		return false, usagef("--%s: %s is no data directory of 'reconsent dev': %w", devFlag, dir, err)
	}
	m, err := loadMemo(path)
	if err != nil {
		return false, err
	}
	named := map[string]string{"keys": string(m.Keys)}
	if !cmd.Flags().Changed("database-url") {
		named["database-url"] = registryIn(dir)
	}
	for name, value := range named {
		if err := cmd.Flags().Set(name, value); err != nil {
			return false, err
		}
	}
	return true, nil
}

// registryIn is the registry of a data directory.
func registryIn(dir string) string { return "sqlite:" + filepath.Join(dir, "reconsent.db") }

func (m *memo) providerConfig(bankURL string) provider.Config {
	return provider.Config{
		ClientID: m.SandboxClientID, ClientSecret: m.SandboxClientSecret, Environment: "sandbox", AuthURL: bankURL, DirectLinks: true,
	}
}

func randomSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func isNotFound(err error) bool { return errors.Is(err, consent.ErrNotFound) }
