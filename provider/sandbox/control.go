package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

type moment struct {
	Now time.Time `json:"now"`
}

func (s *Server) getClock(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, moment{s.clock.Now()})
}

// moveClock moves the clock in one leap, and answers when everything that this
// made due is done.
func (s *Server) moveClock(w http.ResponseWriter, r *http.Request) {
	var move struct {
		Advance *string    `json:"advance"`
		Now     *time.Time `json:"now"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(&move); err != nil || (move.Advance == nil) == (move.Now == nil) {
		badControl(w, http.StatusBadRequest, `Send {"advance": "2136h"} or {"now": "2026-07-01T00:00:00Z"}, one of the two.`)
		return
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	var err error
	if move.Now != nil {
		err = s.clock.Set(*move.Now)
	} else {
		var by time.Duration
		if by, err = time.ParseDuration(*move.Advance); err != nil {
			badControl(w, http.StatusBadRequest, "advance is no duration like 2136h or 90m.")
			return
		}
		err = s.clock.Advance(by)
	}
	if errors.Is(err, ErrBack) {
		badControl(w, http.StatusConflict, "The clock only moves forward; it stands at "+s.clock.Now().Format(time.RFC3339)+".")
		return
	}
	offset := s.clock.Offset()
	s.mu.Lock()
	s.mem.offset = offset
	err = s.mem.save(r.Context(), "clock", "offset", offset)
	s.mu.Unlock()
	if err == nil && s.opt.OnMove != nil {
		err = s.opt.OnMove(r.Context())
	}
	if err != nil {
		s.log.Error("sandbox: clock moved, but what that made due was not all done", "error", err)
		badControl(w, http.StatusInternalServerError, "The clock was moved, but what that made due was not all done; see the log.")
		return
	}
	reply(w, http.StatusOK, moment{s.clock.Now()})
}

func (s *Server) getFaults(w http.ResponseWriter, _ *http.Request) {
	type fault struct {
		Name  string `json:"name"`
		Times int    `json:"times"`
		About string `json:"about"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]fault, 0, len(faultNames))
	for _, name := range sortedFaults() {
		list = append(list, fault{name, s.faults[name], faultNames[name]})
	}
	reply(w, http.StatusOK, map[string]any{"faults": list})
}

func (s *Server) setFault(w http.ResponseWriter, r *http.Request) {
	var f struct {
		Name  string `json:"name"`
		Times *int   `json:"times"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&f); err != nil {
		badControl(w, http.StatusBadRequest, `Send {"name": "user_denies", "times": 1}.`)
		return
	}
	times := 1
	if f.Times != nil {
		times = *f.Times
	}
	if err := s.SetFault(f.Name, times); err != nil {
		badControl(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusOK, map[string]any{"name": f.Name, "times": times})
}

// SetFault switches a fault on for the next calls; 0 switches it off.
func (s *Server) SetFault(name string, times int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.set(name, times)
}

// reset forgets connections, journeys, codes and faults. The clock stays: it
// only moves forward.
func (s *Server) reset(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults{}
	if err := s.mem.reset(r.Context()); err != nil {
		s.log.Error("sandbox: reset", "error", err)
		badControl(w, http.StatusInternalServerError, "The memory could not be emptied; see the log.")
		return
	}
	reply(w, http.StatusOK, map[string]any{"reset": true})
}

func (s *Server) messages(source func() func() []Message) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := []Message{}
		if sent := source(); sent != nil {
			list = append(list, sent()...)
		}
		reply(w, http.StatusOK, map[string]any{"messages": list})
	}
}

func badControl(w http.ResponseWriter, status int, detail string) {
	reply(w, status, map[string]string{"error": detail})
}
