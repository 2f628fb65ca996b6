package engine

// maxRejections is how many ranges a status carries; beyond them the last one stands for all the rest.
const maxRejections = 100

// addRejection adds r, which lies behind all that are there: to the last range where it is the same fault in a row, or
// where there are ranges enough.
func addRejection(all []Rejection, r Rejection) []Rejection {
	if n := len(all); n > 0 {
		last := &all[n-1]
		if n == maxRejections || last.Code == r.Code && last.Last+1 == r.First {
			last.Last = r.Last
			last.Count += r.Count
			return all
		}
	}
	return append(all, r)
}
