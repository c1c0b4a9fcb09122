"""The page's map: points, their colours, and lassos around some of them."""
