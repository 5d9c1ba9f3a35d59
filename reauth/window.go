package reauth

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrWindow is the answer to the text of a window that cannot be read.
var ErrWindow = errors.New("reauth: the window cannot be read")

// maxStamps bounds what is kept for one window, and with it the text.
const maxStamps = 1000

// Window is a sliding limit: the times of the calls that were allowed. It is a
// value, to be kept in one column in its text form and written back by compare
// and swap wherever Take changed it, so that replicas share it. The zero value
// is a window without a call.
type Window struct {
	stamps     []int64 // microseconds since 1970, rising
	unreadable bool
}

// Taken says what became of a call.
type Taken struct {
	// OK allows the call.
	OK bool
	// Remaining is how many more calls would be allowed at this moment.
	Remaining int
	// Reset is until Remaining next rises; 0 where no call counts.
	Reset time.Duration
	// RetryAt is when the next call is allowed: now, where one remains.
	RetryAt time.Time
}

// ParseWindow reads the text form. With ErrWindow comes a window that denies
// every call.
func ParseWindow(text string) (Window, error) {
	if text == "" {
		return Window{}, nil
	}
	fields := strings.Split(text, " ")
	if len(fields) > maxStamps {
		return Window{unreadable: true}, ErrWindow
	}
	w := Window{stamps: make([]int64, 0, len(fields))}
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n <= 0 || n > maxStamp || strconv.FormatInt(n, 10) != f {
			return Window{unreadable: true}, ErrWindow
		}
		w.stamps = append(w.stamps, n)
	}
	if !slices.IsSorted(w.stamps) {
		return Window{unreadable: true}, ErrWindow
	}
	return w, nil
}

// maxStamp is the end of the year 9999.
const maxStamp = 253402300799 * 1_000_000

// String is the text form: the stamps with a space between them. A window that
// could not be read has none to offer, and must not be stored: Take never
// changes it.
func (w Window) String() string {
	var b strings.Builder
	for i, s := range w.stamps {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatInt(s, 10))
	}
	return b.String()
}

// Unreadable reports whether it came from a text that could not be read.
func (w Window) Unreadable() bool { return w.unreadable }

// Equal reports whether there is nothing to store.
func (w Window) Equal(v Window) bool {
	return w.unreadable == v.unreadable && slices.Equal(w.stamps, v.stamps)
}

// Take asks for one call: at most limit are allowed in any stretch of per, both
// ends not counted together. A denied call does not count. A limit or stretch
// that makes no sense denies.
//
// A clock that went back opens nothing: calls that lie ahead of now count. Nor
// does it lock for ever: calls further ahead than per are moved to now, so that
// the window is open again after twice per at most. The window that comes back
// is to be stored also where the call was denied, unless it is Equal.
func (w Window) Take(now time.Time, limit int, per time.Duration) (Window, Taken) {
	next, t := w.look(now, limit, per)
	if t.OK {
		next.stamps = append(next.stamps, now.UnixMicro())
		slices.Sort(next.stamps)
		_, t = next.look(now, limit, per)
		t.OK = true
	}
	return next, t
}

// Peek is what Take would answer, without the call.
func (w Window) Peek(now time.Time, limit int, per time.Duration) Taken {
	_, t := w.look(now, limit, per)
	return t
}

// look finds what counts now. The window that comes back is pruned where a call
// is allowed, and mended where the clock has gone far back.
func (w Window) look(now time.Time, limit int, per time.Duration) (Window, Taken) {
	at, span := now.UnixMicro(), per.Microseconds()
	if w.unreadable || limit <= 0 || limit > maxStamps || span <= 0 || at <= 0 || at > maxStamp {
		return w, Taken{Reset: max(per, 0), RetryAt: now.Add(max(per, 0))}
	}
	mended := Window{stamps: slices.Clone(w.stamps)}
	for i, s := range mended.stamps {
		if s > at+span {
			mended.stamps[i] = at
		}
	}
	slices.Sort(mended.stamps)
	open := slices.IndexFunc(mended.stamps, func(s int64) bool { return s > at-span })
	if open < 0 {
		return Window{}, Taken{OK: true, Remaining: limit, RetryAt: now}
	}
	counted := mended.stamps[open:]
	leaves := func(s int64) time.Duration { return time.Duration(s+span-at) * time.Microsecond }
	t := Taken{Reset: leaves(counted[0]), RetryAt: now}
	if len(counted) < limit {
		t.OK, t.Remaining = true, limit-len(counted)
		return Window{stamps: counted}, t
	}
	// Where the limit was lowered, more than one has to leave.
	t.Reset = leaves(counted[len(counted)-limit])
	t.RetryAt = now.Add(t.Reset)
	return mended, t
}

// GiveBack takes back one call that was allowed at that time: what it was for
// did not happen. It changes nothing where there is no such call.
func (w Window) GiveBack(at time.Time) Window {
	i, ok := slices.BinarySearch(w.stamps, at.UnixMicro())
	if !ok {
		return w
	}
	return Window{stamps: slices.Delete(slices.Clone(w.stamps), i, i+1), unreadable: w.unreadable}
}
