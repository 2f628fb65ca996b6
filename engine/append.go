package engine

// An Append is one message of records from a producer, scanned.
type Append struct {
	First  uint64  // sequence of the first record; 0: the engine numbers them, and cannot recognise a repeat
	Flush  bool    // do not linger with what came so far
	Count  int     // records, faulty ones included
	Data   []byte  // repeated `records` fields: each a one-byte tag 2, a length, a LogRecord; lies in Slab
	Faults []Fault // the records that are refused, ascending
	Slab   *Slab   // where Data lies; the engine takes it over
}

// A Fault is a record that is refused for a fault of its own. It consumes its sequence.
type Fault struct {
	Index    int // of the record in its Append
	From, To int // where its field lies in Data, tag and length included
	Err      *RecordError
}

// A FaultCode says what is wrong with a record.
type FaultCode int

// The fault codes are those of the wire's RejectionCode.
const (
	FaultMalformed   FaultCode = 1 + iota // the bytes are not a LogRecord
	FaultInvalidUTF8                      // a string field is not UTF-8
	FaultTooDeep                          // values nest deeper than MaxDepth
)

// A RecordError is what the scan says of a record that it refuses.
type RecordError struct {
	Code  FaultCode
	Field string // path of the field, such as "body.kvlist_value.values.value"
	Msg   string // what is wrong with it
}

func (e *RecordError) Error() string {
	if e.Field == "" {
		return e.Msg
	}
	return e.Field + ": " + e.Msg
}
