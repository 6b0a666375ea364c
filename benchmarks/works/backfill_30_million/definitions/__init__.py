"""Payments: 20,000 cards at 1,000 merchants, some much busier than others."""
