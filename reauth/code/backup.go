package code

import (
	"fmt"
	"io"
)

const (
	// BackupCodes is how many a person gets at a time.
	BackupCodes = 10

	// alphabet has 32 characters, five bits each. It leaves out 0, 1, I and O,
	// which are taken for one another in print and in handwriting.
	alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

	backupGroup  = 4 // characters between dashes
	backupGroups = 4
	backupLength = backupGroup * backupGroups // 80 bits; reauth-wire 7 asks for 64
)

// NewBackup draws a person's backup codes from a source of randomness, which
// is crypto/rand's Reader outside tests. They are returned as they are shown,
// this once: K7QM-2XWD-9HTA-VE4R. What is kept of each is a fingerprint of what
// Backup reads from it.
func NewBackup(random io.Reader) ([]string, error) {
	list := make([]string, BackupCodes)
	for i := range list {
		var drawn [backupLength]byte
		if _, err := io.ReadFull(random, drawn[:]); err != nil {
			return nil, fmt.Errorf("code: draw: %w", err)
		}
		shown := make([]byte, 0, backupLength+backupGroups-1)
		for j, b := range drawn {
			if j > 0 && j%backupGroup == 0 {
				shown = append(shown, '-')
			}
			shown = append(shown, alphabet[int(b)%len(alphabet)]) // 32 divides 256: none is favoured
		}
		list[i] = string(shown)
	}
	return list, nil
}

// Backup reads a backup code as a person may type it: in small letters, with
// other separators or none, in full-width characters. It returns the sixteen
// characters that the code is, in capitals, without dashes.
func Backup(typed string) (string, bool) {
	out, ok := read(typed, backupChar)
	if !ok || len(out) != backupLength {
		return "", false
	}
	return out, true
}

// backupChar is a character of the alphabet, whatever its case and width.
func backupChar(r rune) (byte, bool) {
	if '\uff01' <= r && r <= '\uff5e' {
		r -= '\uff01' - '!' // the full-width forms stand in ASCII's order
	}
	if d, ok := decimal(r); ok {
		r = rune(d)
	}
	if 'a' <= r && r <= 'z' {
		r -= 'a' - 'A'
	}
	for i := range len(alphabet) {
		if rune(alphabet[i]) == r {
			return alphabet[i], true
		}
	}
	return 0, false
}
