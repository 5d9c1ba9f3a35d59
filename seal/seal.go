package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrOpen is the answer to ciphertext that was sealed under another key or
// for another row, or was altered.
var ErrOpen = errors.New("seal: cannot open: wrong key, wrong row, or altered")

// Keys seals, opens and fingerprints. It is safe for concurrent use.
type Keys struct {
	sealing     *keyset.Handle
	fingerprint *keyset.Handle
	aead        tink.AEAD
	prf         *prf.Set
}

// Generate makes a new installation's keys.
func Generate() (*Keys, error) {
	sealing, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("seal: make sealing key: %w", err)
	}
	fingerprint, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("seal: make fingerprint key: %w", err)
	}
	return open(sealing, fingerprint)
}

// document is the file form: two tink keysets in tink's own JSON.
type document struct {
	Sealing     json.RawMessage `json:"sealing"`
	Fingerprint json.RawMessage `json:"fingerprint"`
}

// Parse reads the file form that Marshal wrote.
func Parse(data []byte) (*Keys, error) {
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, errors.New(`seal: not a key file: want a JSON object with "sealing" and "fingerprint"`)
	}
	sealing, err := parseKeyset("sealing", doc.Sealing)
	if err != nil {
		return nil, err
	}
	fingerprint, err := parseKeyset("fingerprint", doc.Fingerprint)
	if err != nil {
		return nil, err
	}
	return open(sealing, fingerprint)
}

// parseKeyset does not wrap tink's error: it may quote what it read.
func parseKeyset(name string, data []byte) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("seal: key file: %q is not a tink keyset in JSON", name)
	}
	return h, nil
}

func open(sealing, fingerprint *keyset.Handle) (*Keys, error) {
	a, err := aead.New(sealing)
	if err != nil {
		return nil, errors.New(`seal: key file: "sealing" holds no AEAD key`)
	}
	p, err := prf.NewPRFSet(fingerprint)
	if err != nil {
		return nil, errors.New(`seal: key file: "fingerprint" holds no PRF key`)
	}
	return &Keys{sealing: sealing, fingerprint: fingerprint, aead: a, prf: p}, nil
}

// Marshal returns the file form, in the clear: the file is the secret.
func (k *Keys) Marshal() ([]byte, error) {
	var sealing, fingerprint bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.sealing, keyset.NewJSONWriter(&sealing)); err != nil {
		return nil, errors.New("seal: write sealing key")
	}
	if err := insecurecleartextkeyset.Write(k.fingerprint, keyset.NewJSONWriter(&fingerprint)); err != nil {
		return nil, errors.New("seal: write fingerprint key")
	}
	return json.MarshalIndent(document{Sealing: sealing.Bytes(), Fingerprint: fingerprint.Bytes()}, "", "  ")
}

// Rotate returns keys that seal with a new key and open with it and all old
// ones.
func (k *Keys) Rotate() (*Keys, error) {
	m := keyset.NewManagerFromHandle(k.sealing)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("seal: add a key: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("seal: make the new key primary: %w", err)
	}
	sealing, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("seal: rotate: %w", err)
	}
	return open(sealing, k.fingerprint)
}

// Seal encrypts plaintext for the row that it is to stand in.
func (k *Keys) Seal(plaintext []byte, row string) ([]byte, error) {
	sealed, err := k.aead.Encrypt(plaintext, []byte(row))
	if err != nil {
		return nil, errors.New("seal: encrypt failed")
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same row, or answers ErrOpen.
func (k *Keys) Open(sealed []byte, row string) ([]byte, error) {
	plaintext, err := k.aead.Decrypt(sealed, []byte(row))
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// Current reports whether the key that seals now made something. What an older
// one made opens as well, for as long as the file has that key.
func (k *Keys) Current(sealed []byte) bool {
	primary, err := k.sealing.Primary()
	// Tink's prefix of a ciphertext: a version, and the key's id.
	return err == nil && len(sealed) >= 5 && binary.BigEndian.Uint32(sealed[1:5]) == primary.KeyID()
}

// fingerprintSize is in bytes; 256 bits cannot collide by chance.
const fingerprintSize = 32

// Fingerprint returns 32 bytes by which a value can be recognised but not
// recovered. Purposes keep apart what must not be compared: fingerprints of
// one value under two purposes have nothing in common.
func (k *Keys) Fingerprint(purpose string, value []byte) ([]byte, error) {
	in := make([]byte, 0, len(purpose)+1+len(value))
	in = append(append(append(in, purpose...), 0), value...)
	sum, err := k.prf.ComputePrimaryPRF(in, fingerprintSize)
	if err != nil {
		return nil, errors.New("seal: fingerprint failed")
	}
	return sum, nil
}
