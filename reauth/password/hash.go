package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// ErrHash is in the chain of every refusal of a hash. The text of such an error
// says what is wrong, never with what, and may be shown to the application.
var ErrHash = errors.New("unusable password hash")

// What one verification may cost. reauth-wire 7 fixes memory and passes.
const (
	maxMemory  = 64 << 10 // KiB
	maxPasses  = 4
	maxThreads = 16 // x/crypto starts a goroutine for each

	// RFC 9106 3.1 begins at 8 and 4 bytes, and recommends 16 and 32.
	minSalt, maxSalt = 8, 64
	minSum, maxSum   = 16, 64

	// bcrypt doubles its time with each step: 10 is usual, 14 is about a second.
	minCost, maxCost = bcrypt.MinCost, 14

	maxBcryptInput = 72   // bytes; the cipher under bcrypt takes no more
	maxHash        = 1024 // bytes of the hash's text, far beyond what the above allow
)

// Check says whether Verify can judge by a hash: nil, or an ErrHash that tells
// what to change. It is for the moment of import, and as cheap as reading.
func Check(hash string) error {
	_, err := parse(hash)
	return err
}

// hasher compares passwords with one hash.
type hasher interface {
	// matches says whether the hash is the password's. It costs the same
	// whichever it is.
	matches(password []byte) bool
	// blank costs as much and is nobody's.
	blank() hasher
}

func parse(hash string) (hasher, error) {
	switch {
	case len(hash) > maxHash:
		return nil, refuse("it is longer than %d bytes", maxHash)
	case strings.HasPrefix(hash, "$argon2id$"):
		return parseArgon2id(hash)
	case strings.HasPrefix(hash, "$argon2"):
		return nil, refuse("of the argon2 kinds only argon2id is taken")
	case strings.HasPrefix(hash, "$2"):
		return parseBcrypt(hash)
	}
	return nil, refuse("it is neither argon2id ($argon2id$v=19$m=...,t=...,p=...$salt$hash) nor bcrypt ($2b$...)")
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrHash}, args...)...)
}

type argon2id struct {
	memory, passes uint32
	threads        uint8
	salt, sum      []byte
}

// parseArgon2id reads the PHC form as the reference implementation writes it:
// version 19, then m, t and p in this order and nothing beside them.
func parseArgon2id(hash string) (hasher, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return nil, refuse("argon2id has the form $argon2id$v=19$m=...,t=...,p=...$salt$hash")
	}
	if parts[2] != "v=19" {
		return nil, refuse("argon2id has version 19 (v=19)")
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return nil, refuse("argon2id has the parameters m, t and p, in this order")
	}
	var h argon2id
	var err error
	if h.threads, err = param[uint8](params[2], "p", 1, maxThreads); err != nil {
		return nil, err
	}
	if h.memory, err = param[uint32](params[0], "m", 8*int(h.threads), maxMemory); err != nil { // RFC 9106 3.1
		return nil, err
	}
	if h.passes, err = param[uint32](params[1], "t", 1, maxPasses); err != nil {
		return nil, err
	}
	if h.salt, err = decode(parts[4], "salt", minSalt, maxSalt); err != nil {
		return nil, err
	}
	if h.sum, err = decode(parts[5], "hash", minSum, maxSum); err != nil {
		return nil, err
	}
	return h, nil
}

// param reads name=N, with N in decimal, without sign or zeros in front.
func param[T uint8 | uint32](s, name string, least, most int) (T, error) {
	text, ok := strings.CutPrefix(s, name+"=")
	n, err := strconv.Atoi(text)
	switch {
	case !ok || err != nil || strconv.Itoa(n) != text:
		return 0, refuse("argon2id has the parameters m, t and p, in this order, as whole numbers")
	case n < least || n > most:
		return 0, refuse("argon2id's %s must lie between %d and %d", name, least, most)
	}
	return T(n), nil
}

// decode reads base64 without padding (RFC 4648 4). Strict: two texts are not
// one hash.
func decode(s, name string, least, most int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	switch {
	case err != nil || strings.ContainsAny(s, "\r\n"): // which the decoder passes over
		return nil, refuse("argon2id's %s is not base64 without padding", name)
	case len(b) < least || len(b) > most:
		return nil, refuse("argon2id's %s must have between %d and %d bytes", name, least, most)
	}
	return b, nil
}

func (h argon2id) matches(password []byte) bool {
	sum := argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

func (h argon2id) blank() hasher {
	h.salt, h.sum = make([]byte, len(h.salt)), make([]byte, len(h.sum))
	return h
}

type bcryptHash string

// bcryptSize is of $2b$NN$, 22 characters of salt and 31 of hash.
const bcryptSize = 60

// parseBcrypt takes the kinds 2a, 2b and 2y, which are one for passwords
// without NUL of at most 72 bytes. 2x marks hashes that a bug made.
func parseBcrypt(hash string) (hasher, error) {
	switch {
	case len(hash) != bcryptSize || hash[3] != '$' || hash[6] != '$' || strings.Trim(hash[7:], bcryptAlphabet) != "":
		return nil, refuse("bcrypt has the form $2b$NN$ and 53 characters")
	case !strings.Contains("aby", hash[2:3]):
		return nil, refuse("of the bcrypt kinds only $2a$, $2b$ and $2y$ are taken")
	}
	cost, err := strconv.Atoi(hash[4:6])
	if err != nil || hash[4] == '+' || hash[4] == '-' || cost < minCost || cost > maxCost {
		return nil, refuse("bcrypt's cost must lie between %02d and %d", minCost, maxCost)
	}
	return bcryptHash(hash), nil
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// matches refuses what bcrypt would cut off: two passwords would open one door.
// It costs the same all the same.
func (h bcryptHash) matches(password []byte) bool {
	whole := len(password) <= maxBcryptInput
	if !whole {
		password = password[:maxBcryptInput]
	}
	return bcrypt.CompareHashAndPassword([]byte(h), password) == nil && whole
}

func (h bcryptHash) blank() hasher {
	return h[:len("$2b$NN$")] + bcryptHash(strings.Repeat(".", bcryptSize-len("$2b$NN$")))
}
