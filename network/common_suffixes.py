"""The most common public suffixes of several labels, below which anyone can register names.

The standard library has no public suffix list (https://publicsuffix.org).
"""

_SUFFIXES = """
    co.uk org.uk ac.uk gov.uk com.au net.au org.au co.nz co.jp ne.jp or.jp com.br com.cn com.mx co.in co.kr co.za com.tr com.tw
    github.io gitlab.io pages.dev workers.dev vercel.app netlify.app herokuapp.com cloudfront.net amazonaws.com
    azurewebsites.net blob.core.windows.net web.app firebaseapp.com appspot.com run.app fly.dev onrender.com ngrok.io
    ngrok-free.app trycloudflare.com r2.dev
"""
COMMON_SUFFIXES = frozenset(_SUFFIXES.split())
