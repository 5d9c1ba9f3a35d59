package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
)

type moment struct {
	Now time.Time `json:"now"`
}

func (s *Server) getClock(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, moment{s.clock.Now()})
}

const clockHelp = `Send {"advance": "2136h"} or {"now": "2027-07-01T00:00:00Z"}, one of the two.`

// moveClock moves the clock in one leap, and answers when everything that this
// made due is done.
func (s *Server) moveClock(w http.ResponseWriter, r *http.Request) {
	var move struct {
		Advance *string `json:"advance"`
		Now     *string `json:"now"`
	}
	if err := control(r, &move); err != nil || (move.Advance == nil) == (move.Now == nil) {
		badControl(w, http.StatusBadRequest, clockHelp)
		return
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	var step func() error
	if move.Now != nil {
		t, err := time.Parse(time.RFC3339, *move.Now)
		if err != nil {
			badControl(w, http.StatusBadRequest, "now is no RFC 3339 time like 2027-07-01T00:00:00Z.")
			return
		}
		step = func() error { return s.clock.Set(t) }
	} else {
		d, err := time.ParseDuration(*move.Advance)
		if err != nil {
			badControl(w, http.StatusBadRequest, "advance is no duration like 2136h or 90m.")
			return
		}
		step = func() error { return s.clock.Advance(d) }
	}
	switch err := step(); {
	case errors.Is(err, ErrBack):
		badControl(w, http.StatusConflict, "The clock only moves forward; it stands at "+s.clock.Now().Format(time.RFC3339)+".")
		return
	case errors.Is(err, ErrTooFar):
		badControl(w, http.StatusBadRequest, "The clock does not go beyond the year 2200.")
		return
	}
	if err := s.moved(r); err != nil {
		s.log.Error("sandbox: the clock was moved, but what that made due was not all done", "error", err)
		badControl(w, http.StatusInternalServerError, "The clock was moved to "+s.clock.Now().Format(time.RFC3339)+", but what that made due was not all done; see the log.")
		return
	}
	reply(w, http.StatusOK, moment{s.clock.Now()})
}

func (s *Server) moved(r *http.Request) error {
	s.mu.Lock()
	err := s.mem.do(r.Context(), func() {
		s.mem.setOffset(s.clock.Offset())
		s.mem.prune(s.clock.Now())
	})
	s.mu.Unlock()
	if err != nil || s.opt.OnMove == nil {
		return err
	}
	return s.opt.OnMove(r.Context())
}

func (s *Server) getFaults(w http.ResponseWriter, _ *http.Request) {
	type fault struct {
		Name  string `json:"name"`
		Times int    `json:"times"`
		About string `json:"about"`
	}
	s.mu.Lock()
	list := make([]fault, 0, len(faultNames))
	for _, name := range sortedFaults() {
		list = append(list, fault{name, s.faults[name], faultNames[name]})
	}
	s.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"faults": list})
}

func (s *Server) setFault(w http.ResponseWriter, r *http.Request) {
	var f struct {
		Name  string `json:"name"`
		Times *int   `json:"times"`
	}
	if err := control(r, &f); err != nil {
		badControl(w, http.StatusBadRequest, `Send {"name": "user_denies", "times": 1}; GET /_control/faults lists the names.`)
		return
	}
	times := 1
	if f.Times != nil {
		times = *f.Times
	}
	s.mu.Lock()
	name, err := s.faults.set(f.Name, times)
	s.mu.Unlock()
	if err != nil {
		badControl(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]any{"name": name, "times": times})
}

// SetFault switches a fault on for the next calls; 0 switches it off.
func (s *Server) SetFault(name string, times int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.faults.set(name, times)
	return err
}

// reset forgets faults, connections, journeys and codes. The clock stays,
// because it only moves forward; so do the clients, and what Calls counted.
func (s *Server) reset(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	clear(s.faults)
	err := s.mem.do(r.Context(), s.mem.reset)
	s.mu.Unlock()
	if err != nil {
		s.log.Error("sandbox: reset", "error", err)
		badControl(w, http.StatusInternalServerError, "The memory could not be emptied; see the log.")
		return
	}
	reply(w, http.StatusOK, map[string]any{"reset": true})
}

func messages(sent func() []Message) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := []Message{}
		if sent != nil {
			list = append(list, sent()...)
		}
		reply(w, http.StatusOK, map[string]any{"messages": list})
	}
}

const maxControl = 1 << 16

// control reads a control call's body: one JSON object, nothing unknown in it,
// nothing after it.
func control(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxControl))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

func badControl(w http.ResponseWriter, status int, detail string) {
	reply(w, status, map[string]string{"error": detail})
}
