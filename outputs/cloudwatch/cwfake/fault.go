package cwfake

import (
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Kind is one way for a call to go wrong.
type Kind int

// The kinds of fault.
const (
	Healthy   Kind = iota // not at all; Delay alone makes a call late
	Refusal               // an AWS error in JSON: Status, Code, Message
	HTML                  // a page in HTML in place of an answer, as proxies and balancers send it: Status
	Empty                 // 200 with nothing in it, and no request ID
	Reset                 // the connection is cut: RST on TCP
	Hang                  // no answer, until the client goes or the server is closed
	Slow                  // the answer comes a byte at a time: Every. With a Code it is that error's
	Truncated             // a status with a request ID, then half of the answer, then a cut. With a Code it is that error's
)

// A Fault is what goes wrong with one call. The zero value is none.
type Fault struct {
	Kind    Kind
	Stored  bool          // the operation is carried out first; where it fails, its own error is the answer
	Delay   time.Duration // before anything else, on top of the server's latency
	Every   time.Duration // of Slow, for a byte
	Status  int           // of a refusal and HTML
	Code    string        // of a refusal
	Message string        // of a refusal
}

// Throttle refuses with ThrottlingException, as HTTP 400, as the service does.
func Throttle() Fault { return Refuse(http.StatusBadRequest, codeThrottling, "Rate exceeded") }

// InternalError refuses with HTTP 500.
func InternalError() Fault {
	return Refuse(http.StatusInternalServerError, codeInternal, "We encountered an internal error. Please try again.")
}

// Unavailable refuses with HTTP 503.
func Unavailable() Fault {
	return Refuse(http.StatusServiceUnavailable, codeUnavailable, "Service is unavailable")
}

// Denied refuses with AccessDeniedException.
func Denied() Fault {
	return Refuse(http.StatusBadRequest, codeDenied, "User is not authorized to perform this action on the resource.")
}

// Refuse answers with any error.
func Refuse(status int, code, message string) Fault {
	return Fault{Kind: Refusal, Status: status, Code: code, Message: message}
}

// BadGateway answers with HTTP 502 and a page in HTML.
func BadGateway() Fault { return Fault{Kind: HTML, Status: http.StatusBadGateway} }

// EmptyOK answers 200 with nothing in it and without a request ID. Nothing is stored.
func EmptyOK() Fault { return Fault{Kind: Empty} }

// ResetBefore cuts the connection when the request has been read. Nothing is stored.
func ResetBefore() Fault { return Fault{Kind: Reset} }

// ResetAfter carries the call out and cuts the connection in place of an answer.
func ResetAfter() Fault { return Fault{Kind: Reset, Stored: true} }

// HangBefore never answers. Nothing is stored.
func HangBefore() Fault { return Fault{Kind: Hang} }

// HangAfter carries the call out and never answers.
func HangAfter() Fault { return Fault{Kind: Hang, Stored: true} }

// SlowBody carries the call out and answers a byte at a time.
func SlowBody(every time.Duration) Fault { return Fault{Kind: Slow, Stored: true, Every: every} }

// TruncatedBody carries the call out and cuts the connection in the middle of the answer's body.
func TruncatedBody() Fault { return Fault{Kind: Truncated, Stored: true} }

// Cut cuts a refusal in the middle of its body.
func Cut(refusal Fault) Fault {
	refusal.Kind = Truncated
	return refusal
}

// Trickled answers a refusal a byte at a time.
func Trickled(refusal Fault, every time.Duration) Fault {
	refusal.Kind, refusal.Every = Slow, every
	return refusal
}

// Late carries the call out d later than the server's latency alone would.
func Late(d time.Duration) Fault { return Fault{Delay: d} }

// String is the fault's name, which is also the call's result: the error's for a refusal.
func (f Fault) String() string {
	name := ""
	switch f.Kind {
	case Healthy:
		return ResultOK
	case Refusal:
		return f.Code
	case HTML:
		name = "html-" + strconv.Itoa(f.Status)
	case Empty:
		name = "empty-200"
	case Reset:
		name = "reset"
	case Hang:
		name = "hang"
	case Slow:
		return f.refused("slow")
	case Truncated:
		return f.refused("truncated")
	}
	if f.Stored {
		return name + "-after"
	}
	return name
}

// refused is the name of a fault of an answer, which may be a refusal.
func (f Fault) refused(name string) string {
	if f.Code == "" {
		return name
	}
	return f.Code + "-" + name
}

// Faults chooses what goes wrong with a call, once for each, when it has been read. It may be called concurrently.
type Faults func(Call) Fault

// First is the first of several that has something to say.
func First(of ...Faults) Faults {
	return func(c Call) Fault {
		for _, f := range of {
			if fault := f(c); fault != (Fault{}) {
				return fault
			}
		}
		return Fault{}
	}
}

// On is a fault of every call that matches.
func On(match func(Call) bool, fault Fault) Faults {
	return func(c Call) Fault {
		if match(c) {
			return fault
		}
		return Fault{}
	}
}

// Puts matches every PutLogEvents.
func Puts(c Call) bool { return c.Operation == PutLogEvents }

// InGroup matches every call that names the group.
func InGroup(name string) func(Call) bool {
	return func(c Call) bool { return c.Target.Group == name }
}

// Window matches calls that start in [from, to).
func Window(from, to time.Time) func(Call) bool {
	return func(c Call) bool { return !c.Start.Before(from) && c.Start.Before(to) }
}

// All matches what every one of several matches.
func All(of ...func(Call) bool) func(Call) bool {
	return func(c Call) bool {
		for _, match := range of {
			if !match(c) {
				return false
			}
		}
		return true
	}
}

// Share matches the given part of calls, from 0 to 1, by chance. Which ones depends on the seed and the call's number
// alone, so the same calls in the same order fare the same.
func Share(part float64, seed uint64) func(Call) bool {
	return func(c Call) bool { return rand.New(rand.NewPCG(seed, uint64(c.Number))).Float64() < part }
}

// A faultBox holds the faults to come.
type faultBox struct {
	mu     sync.Mutex // guards what follows; not held while a Faults runs
	always Faults
	queue  map[Operation][]Fault
}

// SetFault replaces [Options].Fault for the calls that come from now on; nil: nothing goes wrong.
func (s *Server) SetFault(f Faults) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.always = f
}

// Queue lets the next calls of an operation go wrong, one fault each, in order, before what SetFault says. A zero Fault
// is a call that fares well.
func (s *Server) Queue(op Operation, faults ...Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.queue == nil {
		s.faults.queue = map[Operation][]Fault{}
	}
	s.faults.queue[op] = append(s.faults.queue[op], faults...)
}

// Queued is how many queued faults of an operation have not happened yet.
func (s *Server) Queued(op Operation) int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return len(s.faults.queue[op])
}

// next chooses the fault of a call.
func (b *faultBox) next(c Call) Fault {
	b.mu.Lock()
	always := b.always
	if q := b.queue[c.Operation]; len(q) > 0 {
		b.queue[c.Operation] = q[1:]
		b.mu.Unlock()
		return q[0]
	}
	b.mu.Unlock()
	if always == nil {
		return Fault{}
	}
	return always(c)
}

// page is what stands between a client and the service says when it cannot reach it.
const page = "<html>\r\n<head><title>Error</title></head>\r\n<body><center><h1>Error</h1></center></body>\r\n</html>\r\n"

// misbehave does in place of a true answer what the fault says. The answer is what would have been said.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f Fault, answer []byte) {
	status := http.StatusOK
	if f.Code != "" {
		status, answer = f.Status, (&apiError{f.Status, f.Code, f.Message}).encode()
	}
	switch f.Kind {
	case Healthy, Refusal:
		writeAnswer(w, status, answer)
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, page)
	case Empty:
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	case Reset:
		cut(r)
	case Hang:
		s.hang(r)
		cut(r)
	case Slow:
		s.trickle(w, r, f.Every, status, answer)
	case Truncated:
		if len(answer) == 0 {
			answer = []byte("{}") // something must be missing
		}
		writeHead(w, status, len(answer))
		_, _ = w.Write(answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		cut(r)
	}
}

// trickle writes the answer a byte at a time.
func (s *Server) trickle(w http.ResponseWriter, r *http.Request, every time.Duration, status int, answer []byte) {
	writeHead(w, status, len(answer))
	control := http.NewResponseController(w)
	_ = control.Flush() // where the client went, the wait below says so
	for i := range answer {
		if !s.wait(r, every) {
			cut(r)
		}
		_, _ = w.Write(answer[i : i+1])
		_ = control.Flush()
	}
}

// cut ends the call's connection at once, on TCP with a reset. It does not return.
func cut(r *http.Request) {
	if w, ok := r.Context().Value(wireKey{}).(wire); ok {
		conn := w.conn
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn() // without the goodbye of TLS
		}
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // what is closed with nothing to linger for is reset
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}
