package batch

import "reflect"

// wrapAll puts middleware around inner, which is a function, the first outermost. If
// one panics or returns nil, failed is its number from 1. what names what it is to
// return.
func wrapAll[F any, M ~func(F) F](middleware []M, inner F, what string) (wrapped F, failed int, err error) {
	wrapped = inner
	for i := len(middleware) - 1; i >= 0; i-- {
		if wrapped, err = wrapOne(middleware[i], wrapped, what); err != nil {
			return wrapped, i + 1, err
		}
	}
	return wrapped, 0, nil
}

// wrapOne calls one middleware, and turns a panic into an error.
func wrapOne[F any, M ~func(F) F](m M, next F, what string) (wrapped F, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = newPanicError("", r)
		}
	}()
	if wrapped = m(next); reflect.ValueOf(wrapped).IsNil() {
		return wrapped, invalid(what, "nil", "a function")
	}
	return wrapped, nil
}
