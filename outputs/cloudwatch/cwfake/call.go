package cwfake

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// An Operation is a call's name, as in X-Amz-Target.
type Operation string

// The operations that the server knows.
const (
	PutLogEvents       Operation = "PutLogEvents"
	CreateLogStream    Operation = "CreateLogStream"
	CreateLogGroup     Operation = "CreateLogGroup"
	PutRetentionPolicy Operation = "PutRetentionPolicy"
	TagResource        Operation = "TagResource"
	DescribeLogGroups  Operation = "DescribeLogGroups"
	DescribeLogStreams Operation = "DescribeLogStreams"
	GetLogEvents       Operation = "GetLogEvents"
)

// targetPrefix is the service and version in X-Amz-Target.
const targetPrefix = "Logs_20140328."

// maxBody bounds a body, as sent and unpacked: no batch that keeps the limits can be larger, be every byte escaped as
// six.
const maxBody = 8 << 20

// A Target is where events go.
type Target struct{ Region, Group, Stream string }

// String is the target as people write it.
func (t Target) String() string { return t.Region + ":" + t.Group + ":" + t.Stream }

// ParseTarget reads REGION:GROUP:STREAM.
func ParseTarget(s string) (Target, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Target{}, fmt.Errorf("target %q: it is not REGION:GROUP:STREAM", s)
	}
	return Target{parts[0], parts[1], parts[2]}, nil
}

func (t Target) compare(u Target) int {
	return cmp.Or(cmp.Compare(t.Region, u.Region), cmp.Compare(t.Group, u.Group), cmp.Compare(t.Stream, u.Stream))
}

// A Call is one request to the server. A fault is chosen by what is known when the call was read; the last part is
// filled in when it has ended.
type Call struct {
	Number    int64     // of all calls, from 1, in the order of their arrival
	Conn      int64     // the connection's number, from 1; 0 where the server was called as a mere handler
	Operation Operation // empty where the request names none
	Target    Target    // as far as the operation has one
	KeyID     string
	Start     time.Time // when its header had been read
	Wire      int       // bytes of the body, as sent
	Gzip      bool
	Events    int // in a put, those that will be rejected included
	Bytes     int // of a put, as the service counts them: UTF-8 and 26 for each event

	End      time.Time
	Result   string // "OK", the error's name, or the fault's; "gone" where the client went first
	Rejected int    // events of a put that were out of the window
}

// Results that are not the name of an AWS error or of a fault.
const (
	ResultOK   = "OK"
	ResultGone = "gone"
)

// A request is a call while it is served. Its buffers are used again by others, later.
type request struct {
	call Call
	body []byte // as sent
	room []byte // what gzip is unpacked into
	text []byte // the body without its encoding: body or room
	put  put
	deed func() (any, error) // carries the operation out; nil where err says why not
	err  error               // what is wrong with the request, found before carrying it out
}

// reset empties the request for the next call, and keeps its buffers.
func (q *request) reset() {
	q.put.reset()
	q.call, q.deed, q.err, q.text = Call{}, nil, nil, nil
}

// requests are pooled across servers: a body and ten thousand events are much to allocate anew.
//
//nolint:gochecknoglobals // a pool holds no state
var requests = sync.Pool{New: func() any { return new(request) }}

// ServeHTTP serves one call. It is there for other HTTP servers; a reset then ends in whatever they make of
// [http.ErrAbortHandler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.work.Done()
	q := requests.Get().(*request)
	q.reset()
	defer requests.Put(q)
	q.call.Operation = Operation(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), targetPrefix))
	wire, _ := r.Context().Value(wireKey{}).(wire)
	q.call.Conn = wire.number
	s.ledger.begin(&q.call)
	defer func() { s.ledger.end(&q.call) }()
	q.call.Result = ResultGone
	if !q.read(r) {
		return
	}
	s.prepare(q, r)
	s.serve(w, r, q)
}

// serve carries a call out that has been read, or lets it go wrong.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, q *request) {
	flight := s.ledger.depart(&q.call)
	defer flight.land()
	release, taken := s.account.claim(&q.call)
	defer release()
	fault := s.faults.next(q.call)
	if !s.wait(r, time.Duration(s.latency.Load())+fault.Delay) {
		return
	}
	if fault.Kind != Healthy && !fault.Stored {
		q.call.Result = fault.String()
		s.misbehave(w, r, fault, nil)
		return
	}
	answer, err := s.perform(q, taken)
	q.call.Result = resultOf(err)
	if fault.Kind != Healthy && err == nil {
		q.call.Result = fault.String()
		s.misbehave(w, r, fault, encode(answer))
		return
	}
	if err != nil {
		writeError(w, err)
		return
	}
	writeAnswer(w, http.StatusOK, encode(answer))
}

// perform is the operation itself, quotas first.
func (s *Server) perform(q *request, taken bool) (any, error) {
	if q.err != nil {
		return nil, q.err
	}
	if !s.account.admit(&q.call) {
		return nil, errThrottled()
	}
	if taken {
		return nil, invalid(codeAborted, "Multiple concurrent requests to update the same resource were in conflict.")
	}
	return q.deed()
}

// read takes the body. It says false where the client went meanwhile.
func (q *request) read(r *http.Request) bool {
	buf := bytes.NewBuffer(q.body[:0])
	if r.ContentLength > 0 && r.ContentLength <= maxBody {
		buf.Grow(int(r.ContentLength) + bytes.MinRead) // ReadFrom asks for that much room to see the end
	}
	_, err := buf.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	q.body = buf.Bytes()
	q.call.Wire = len(q.body)
	return err == nil
}

// prepare checks who calls and reads what is asked, without doing it.
func (s *Server) prepare(q *request, r *http.Request) {
	if err := checkForm(r); err != nil {
		q.err = err
		return
	}
	if len(q.body) > maxBody {
		q.err = errTooLarge()
		return
	}
	if q.err = s.keys.authenticate(r, q); q.err != nil {
		return
	}
	if q.err = q.unpack(r.Header.Get("Content-Encoding")); q.err != nil {
		return
	}
	q.deed, q.err = s.decode(q)
}

// checkForm checks what AWS JSON 1.1 asks of a request.
func checkForm(r *http.Request) error {
	known := strings.HasPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if r.Method != http.MethodPost || r.URL.Path != "/" || !known {
		return &apiError{http.StatusNotFound, codeUnknownOperation, "POST / with an X-Amz-Target is what there is."}
	}
	if r.Header.Get("Content-Type") != jsonType {
		return invalid(codeSerialization, "The content type is not "+jsonType+".")
	}
	return nil
}

// gzips are pooled, as their windows are large.
//
//nolint:gochecknoglobals // a pool holds no state
var gzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

// unpack finds the text in the body.
func (q *request) unpack(encoding string) error {
	switch encoding {
	case "", "identity":
		q.text = q.body
		return nil
	case "gzip":
	default:
		return invalid(codeSerialization, "The content encoding is not gzip.")
	}
	q.call.Gzip = true
	z := gzips.Get().(*gzip.Reader)
	defer gzips.Put(z)
	if err := z.Reset(bytes.NewReader(q.body)); err != nil {
		return invalid(codeSerialization, "The body is not gzip.")
	}
	buf := bytes.NewBuffer(q.room[:0])
	n, err := buf.ReadFrom(io.LimitReader(z, maxBody+1))
	q.room = buf.Bytes()
	q.text = q.room
	switch {
	case err != nil:
		return invalid(codeSerialization, "The body is not gzip.")
	case n > maxBody:
		return errTooLarge()
	}
	return nil
}
