package server

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sluicelog/sluice/engine"
)

// errorDomain is the domain of every google.rpc.ErrorInfo that sluice answers.
const errorDomain = "sluice"

// rpcCode is the wire's word for the engine's.
func rpcCode(c engine.Code) codes.Code {
	switch c {
	case engine.CodeInvalidArgument:
		return codes.InvalidArgument
	case engine.CodeFailedPrecondition:
		return codes.FailedPrecondition
	case engine.CodeAborted:
		return codes.Aborted
	case engine.CodeResourceExhausted:
		return codes.ResourceExhausted
	case engine.CodeUnavailable:
		return codes.Unavailable
	default:
		return codes.Internal
	}
}

// rpcError is how an error goes to the producer: an engine.Error with its google.rpc.ErrorInfo and RetryInfo, a context's
// end as what it is, what is a status already as it is.
func rpcError(err error) error {
	if err == nil {
		return nil
	}
	if fault, ok := errors.AsType[*engine.Error](err); ok {
		return faultStatus(fault).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Internal, err.Error())
}

func faultStatus(e *engine.Error) *status.Status {
	code := rpcCode(e.Code)
	plain := status.New(code, e.Error())
	// An ErrorInfo must have a reason: where the engine gives none, the code is.
	info := &errdetails.ErrorInfo{
		Domain:   errorDomain,
		Reason:   cmp.Or(e.Reason, rpccode.Code(code).String()),
		Metadata: map[string]string{},
	}
	if e.Field != "" {
		info.Metadata["field"] = e.Field
	}
	if e.Epoch != 0 {
		info.Metadata["epoch"] = strconv.FormatUint(e.Epoch, 10)
	}
	details := []protoadapt.MessageV1{info}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	detailed, err := plain.WithDetails(details...)
	if err != nil {
		return plain
	}
	return detailed
}
